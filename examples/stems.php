<?php
// Saves the stems of a song, given its link. Needs PHP 8 with the curl extension.
// php stems.php https://suno.com/song/<id> [folder]
declare(strict_types=1);

const RETRIES = 5;
define('BASE', getenv('SUNO_STEMS_URL') ?: 'http://127.0.0.1:3000');

function fail(string $complaint): never
{
    fwrite(STDERR, "$complaint\n");
    exit(1);
}

set_exception_handler(fn (Throwable $error) => fail($error->getMessage()));

/** The name as a part of a path: nothing that leaves the folder or hides. */
function clean(string $name): string
{
    $plain = ltrim(preg_replace('~[/\\\\\p{Cc}]~u', '_', $name), '. ');
    return $plain === '' ? 'Untitled' : $plain;
}

/** Send a request; retry after a lost connection, 409 or 503. Throws the message if it fails. */
function ask(string $path, ?array $question = null, array $headers = []): array
{
    if ($apiKey = getenv('SUNO_STEMS_API_KEY')) {
        $headers[] = "X-API-Key: $apiKey";
    }
    for ($left = RETRIES; ; $left--) {
        $wait = 1;
        $request = curl_init(BASE . $path);
        curl_setopt_array($request, [
            CURLOPT_HTTPHEADER => ['Content-Type: application/json', ...$headers],
            CURLOPT_RETURNTRANSFER => true,
            CURLOPT_TIMEOUT => 150,
            CURLOPT_HEADERFUNCTION => function ($request, string $line) use (&$wait): int {
                $wait = preg_match('/^Retry-After: *(\d+)/i', $line, $found) ? (int) $found[1] : $wait;
                return strlen($line);
            },
        ] + ($question ? [CURLOPT_POSTFIELDS => json_encode($question, JSON_THROW_ON_ERROR)] : []));
        $content = curl_exec($request);
        $status = curl_getinfo($request, CURLINFO_RESPONSE_CODE);
        if ($content !== false && $status < 300) {
            return [$status, $content, $wait];
        }
        $complaint = $content === false ? 'No answer from ' . BASE . ': ' . curl_error($request)
            : json_decode($content, true)['error'] ?? BASE . " answered $status.";
        if ($left === 0 || ($content !== false && !in_array($status, [409, 503], true))) {
            throw new RuntimeException($complaint);
        }
        sleep($wait);
    }
}

[, $link, $folder] = $argv + [1 => null, 2 => '.'];
$link ?? fail('php stems.php https://suno.com/song/<id> [folder]');

// One key for song, kind and day: a retry, a second run and one after a crash are paid for once.
$key = 'Idempotency-Key: ' . basename(explode('?', $link)[0]) . '-two-' . gmdate('Y-m-d');
$wanted = ['audio_id' => $link, 'wait_audio' => true, 'audio_format' => 'mp3', 'reuse_existing' => true];
[, $content] = ask('/api/generate_stems', $wanted, [$key]);

$stems = ['ids' => array_column(json_decode($content, true), 'id'), 'format' => 'mp3'];
while (([$status, $content, $wait] = ask('/api/audio', $stems)) && $status === 202) {
    sleep($wait);
}

is_dir($folder) || mkdir($folder, recursive: true) || fail("$folder cannot be created.");
$failed = [];
foreach (json_decode($content, true) as ['id' => $id, 'filename' => $name, 'error' => $error]) {
    $path = "$folder/" . clean($name);
    try {
        $error === null || throw new RuntimeException($error);
        $content = ask("/api/audio/$id.mp3")[1];
        file_put_contents($path, $content) !== false || throw new RuntimeException('It cannot be written.');
        echo "$path\n";
    } catch (RuntimeException $failure) {
        $failed[] = clean($name) . ": {$failure->getMessage()}";
    }
}
if ($failed) {
    fail(implode("\n", $failed));
}
