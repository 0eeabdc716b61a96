// Saves the stems of a song, given its link. Needs Go, no modules.
// go run stems.go https://suno.com/song/<id> [folder]
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const retries = 5

var base, client = "http://127.0.0.1:3000", http.Client{Timeout: 150 * time.Second}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// send sends a request once and reads the whole reply; wait is the time to wait before the next request.
func send(method, path, key string, body []byte) (status int, content []byte, wait time.Duration, err error) {
	request, err := http.NewRequest(method, base+path, bytes.NewReader(body))
	check(err)
	request.Header.Set("Content-Type", "application/json")
	if apiKey := os.Getenv("SUNO_STEMS_API_KEY"); apiKey != "" {
		request.Header.Set("X-API-Key", apiKey)
	}
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	reply, err := client.Do(request)
	if err != nil {
		return 0, nil, time.Second, err
	}
	defer reply.Body.Close()
	seconds, err := strconv.Atoi(reply.Header.Get("Retry-After"))
	if err != nil {
		seconds = 1
	}
	content, err = io.ReadAll(reply.Body)
	return reply.StatusCode, content, time.Duration(seconds) * time.Second, err
}

// clean makes a name a part of a path: nothing that leaves the folder or hides.
func clean(name string) string {
	plain := strings.Map(func(char rune) rune {
		if char == '/' || char == '\\' || unicode.IsControl(char) {
			return '_'
		}
		return char
	}, name)
	if plain = strings.TrimLeft(plain, ". "); plain == "" {
		return "Untitled"
	}
	return plain
}

// ask sends a request as try does. If it fails, it ends the program.
func ask(method, path, key string, question any) (int, []byte, time.Duration) {
	status, content, wait, err := try(method, path, key, question)
	check(err)
	return status, content, wait
}

// try sends a request and retries after a lost connection, 409 or 503.
func try(method, path, key string, question any) (int, []byte, time.Duration, error) {
	body, err := json.Marshal(question)
	check(err)
	for left := retries; ; left-- {
		status, content, wait, err := send(method, path, key, body)
		if err == nil && status < 300 {
			return status, content, wait, nil
		}
		again := err != nil || status == http.StatusConflict || status == http.StatusServiceUnavailable
		if err == nil {
			said := struct{ Error string }{fmt.Sprintf("%s answered %d.", base, status)}
			_ = json.Unmarshal(content, &said) // a proxy's reply may not be JSON
			err = fmt.Errorf("%s", said.Error)
		}
		if !again || left == 0 {
			return status, nil, wait, err
		}
		time.Sleep(wait)
	}
}

// save downloads a file.
func save(id, problem, path string) error {
	if problem != "" {
		return fmt.Errorf("%s", problem)
	}
	_, content, _, err := try("GET", "/api/audio/"+id+".mp3", "", nil)
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

func main() {
	if len(os.Args) < 2 {
		check(fmt.Errorf("go run stems.go https://suno.com/song/<id> [folder]"))
	}
	folder := "."
	if len(os.Args) > 2 {
		folder = os.Args[2]
	}
	if url := os.Getenv("SUNO_STEMS_URL"); url != "" {
		base = url
	}

	// One key for song, kind and day: a retry, a second run and one after a crash are paid for once.
	page, _, _ := strings.Cut(os.Args[1], "?")
	page = strings.TrimSuffix(page, "/")
	key := page[strings.LastIndex(page, "/")+1:] + "-two-" + time.Now().UTC().Format("2006-01-02")
	wanted := map[string]any{"audio_id": os.Args[1], "wait_audio": true, "audio_format": "mp3", "reuse_existing": true}
	_, content, _ := ask("POST", "/api/generate_stems", key, wanted)
	var stems []struct{ ID string }
	check(json.Unmarshal(content, &stems))

	ids := make([]string, len(stems))
	for i, stem := range stems {
		ids[i] = stem.ID
	}
	missing := map[string]any{"ids": ids, "format": "mp3"}
	status, content, wait := ask("POST", "/api/audio", "", missing)
	for status == http.StatusAccepted {
		time.Sleep(wait)
		status, content, wait = ask("POST", "/api/audio", "", missing)
	}
	var files []struct{ ID, Filename, Error string }
	check(json.Unmarshal(content, &files))

	check(os.MkdirAll(folder, 0o755))
	failed := 0
	for _, file := range files {
		path := filepath.Join(folder, clean(file.Filename))
		if err := save(file.ID, file.Error, path); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %s\n", clean(file.Filename), err)
			failed = 1
			continue
		}
		fmt.Println(path)
	}
	os.Exit(failed)
}
