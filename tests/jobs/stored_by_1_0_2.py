"""What version 1.0.2 has stored in the ledger, word for word. Its code made it, with a clock of the test's."""

FOLLOWING = (
    '{"state": "following", "webhook_url": "https://hooks.example.com/x", "audio_format": "wav", "budget"'
    ': {"whose": "caller n8n", "name": "downloads:caller:n8n", "unit": "downloads", "limit": 20, "days": '
    '30}, "base": "https://stems.example.com/", "webhook_id": "msg_8b5260f3632a413a987334c009fe4ba4", "ac'
    'count": "default", "caller": "n8n", "request_id": "lanterns-1", "song_id": "song", "task": "twelve",'
    ' "stem_name": "", "began": 1800000000.0, "body": null, "files": [], "attempts": [], "next_at": null,'
    ' "not_before": 0.0}'
)

CLAIMED = (
    '{"state": "following", "webhook_url": "https://hooks.example.com/x", "audio_format": "wav", "budget"'
    ': {"whose": "caller n8n", "name": "downloads:caller:n8n", "unit": "downloads", "limit": 20, "days": '
    '30}, "base": "https://stems.example.com/", "webhook_id": "msg_8b5260f3632a413a987334c009fe4ba4", "ac'
    'count": "default", "caller": "n8n", "request_id": "lanterns-1", "song_id": "song", "task": "twelve",'
    ' "stem_name": "", "began": 1800000000.0, "body": null, "files": [], "attempts": [], "next_at": null,'
    ' "not_before": 0.0, "claim": "18ecb96adbbfb2114836a24bddb5f1c7", "claimed_at": ["0f1e2d3c-boot", 100'
    '0.0, 1800000000.0], "claimed_for": 45.0}'
)

FETCHING = (
    '{"state": "fetching", "webhook_url": "https://hooks.example.com/x", "audio_format": "wav", "budget":'
    ' {"whose": "caller n8n", "name": "downloads:caller:n8n", "unit": "downloads", "limit": 20, "days": 3'
    '0}, "base": "https://stems.example.com/", "webhook_id": "msg_8b5260f3632a413a987334c009fe4ba4", "acc'
    'ount": "default", "caller": "n8n", "request_id": "lanterns-1", "song_id": "song", "task": "twelve", '
    '"stem_name": "", "began": 1800000000.0, "body": null, "files": ["file:532bd7b955950601d52618a90fab98'
    'b0:a.wav", "file:532bd7b955950601d52618a90fab98b0:b.wav"], "attempts": [], "next_at": null, "not_bef'
    'ore": 0.0, "stems": [{"id": "a", "status": "complete", "created_at": "2026-11-25T10:00:00.000Z", "ti'
    'tle": "Song (Vocals)", "stem_from_id": "song", "duration": "183.4", "part": "vocals", "take": 1}, {"'
    'id": "b", "status": "complete", "created_at": "2026-11-25T10:00:00.000Z", "title": "Song (Drums)", "'
    'stem_from_id": "song", "duration": "183.4", "part": "drums", "take": 1}]}'
)

RETRYING = (
    '{"state": "delivering", "webhook_url": "https://hooks.example.com/x", "audio_format": "wav", "budget'
    '": {"whose": "caller n8n", "name": "downloads:caller:n8n", "unit": "downloads", "limit": 20, "days":'
    ' 30}, "base": "https://stems.example.com/", "webhook_id": "msg_8b5260f3632a413a987334c009fe4ba4", "a'
    'ccount": "default", "caller": "n8n", "request_id": "lanterns-1", "song_id": "song", "task": "twelve"'
    ', "stem_name": "", "began": 1800000000.0, "body": "{\\"type\\": \\"stems.completed\\", \\"timestamp\\": \\'
    '"2026-11-30T04:50:20.044134+00:00\\", \\"data\\": {\\"request_id\\": \\"lanterns-1\\", \\"audio_id\\": \\"'
    'song\\", \\"stem_task\\": \\"twelve\\", \\"stems\\": [{\\"id\\": \\"a\\", \\"status\\": \\"complete\\", \\'
    '"created_at\\": \\"2026-11-25T10:00:00.000Z\\", \\"title\\": \\"Song (Vocals)\\", \\"stem_from_id\\": \\"s'
    'ong\\", \\"duration\\": \\"183.4\\", \\"part\\": \\"vocals\\", \\"take\\": 1}, {\\"id\\": \\"b\\", \\"stat'
    'us\\": \\"complete\\", \\"created_at\\": \\"2026-11-25T10:00:00.000Z\\", \\"title\\": \\"Song (Drums)\\", '
    '\\"stem_from_id\\": \\"song\\", \\"duration\\": \\"183.4\\", \\"part\\": \\"drums\\", \\"take\\": 1}], \\"'
    'files\\": [{\\"id\\": \\"a\\", \\"format\\": \\"wav\\", \\"status\\": \\"kept\\", \\"bytes\\": 176444, \\"'
    'filename\\": \\"Song - Vocals.wav\\", \\"error\\": null}, {\\"id\\": \\"b\\", \\"format\\": \\"wav\\", \\"'
    'status\\": \\"failed\\", \\"bytes\\": null, \\"filename\\": \\"Song - Drums.wav\\", \\"error\\": \\"Suno c'
    'ould not make this clip.\\"}]}}", "files": ["file:532bd7b955950601d52618a90fab98b0:a.wav", "file:532b'
    'd7b955950601d52618a90fab98b0:b.wav"], "attempts": [{"at": "2027-01-15T08:00:00Z", "status": 500, "sa'
    'id": "no"}], "next_at": "2027-01-15T08:00:05Z", "not_before": 1800000005.0, "stems": [{"id": "a", "s'
    'tatus": "complete", "created_at": "2026-11-25T10:00:00.000Z", "title": "Song (Vocals)", "stem_from_i'
    'd": "song", "duration": "183.4", "part": "vocals", "take": 1}, {"id": "b", "status": "complete", "cr'
    'eated_at": "2026-11-25T10:00:00.000Z", "title": "Song (Drums)", "stem_from_id": "song", "duration": '
    '"183.4", "part": "drums", "take": 1}]}'
)

DELIVERED = (
    '{"state": "delivered", "webhook_url": "https://hooks.example.com/x", "audio_format": "wav", "budget"'
    ': {"whose": "caller n8n", "name": "downloads:caller:n8n", "unit": "downloads", "limit": 20, "days": '
    '30}, "base": "https://stems.example.com/", "webhook_id": "msg_8b5260f3632a413a987334c009fe4ba4", "ac'
    'count": "default", "caller": "n8n", "request_id": "lanterns-1", "song_id": "song", "task": "twelve",'
    ' "stem_name": "", "began": 1800000000.0, "body": "{\\"type\\": \\"stems.completed\\", \\"timestamp\\": \\"'
    '2026-11-30T04:50:20.044134+00:00\\", \\"data\\": {\\"request_id\\": \\"lanterns-1\\", \\"audio_id\\": \\"s'
    'ong\\", \\"stem_task\\": \\"twelve\\", \\"stems\\": [{\\"id\\": \\"a\\", \\"status\\": \\"complete\\", \\"'
    'created_at\\": \\"2026-11-25T10:00:00.000Z\\", \\"title\\": \\"Song (Vocals)\\", \\"stem_from_id\\": \\"so'
    'ng\\", \\"duration\\": \\"183.4\\", \\"part\\": \\"vocals\\", \\"take\\": 1}, {\\"id\\": \\"b\\", \\"statu'
    's\\": \\"complete\\", \\"created_at\\": \\"2026-11-25T10:00:00.000Z\\", \\"title\\": \\"Song (Drums)\\", '
    '\\"stem_from_id\\": \\"song\\", \\"duration\\": \\"183.4\\", \\"part\\": \\"drums\\", \\"take\\": 1}], \\"'
    'files\\": [{\\"id\\": \\"a\\", \\"format\\": \\"wav\\", \\"status\\": \\"kept\\", \\"bytes\\": 176444, \\"'
    'filename\\": \\"Song - Vocals.wav\\", \\"error\\": null}, {\\"id\\": \\"b\\", \\"format\\": \\"wav\\", \\"'
    'status\\": \\"failed\\", \\"bytes\\": null, \\"filename\\": \\"Song - Drums.wav\\", \\"error\\": \\"Suno c'
    'ould not make this clip.\\"}]}}", "files": ["file:532bd7b955950601d52618a90fab98b0:a.wav", "file:532b'
    'd7b955950601d52618a90fab98b0:b.wav"], "attempts": [{"at": "2027-01-15T08:00:00Z", "status": 500, "sa'
    'id": "no"}, {"at": "2027-01-15T08:00:06Z", "status": 200, "said": "thanks"}], "next_at": null, "not_'
    'before": 1800000005.0, "stems": [{"id": "a", "status": "complete", "created_at": "2026-11-25T10:00:0'
    '0.000Z", "title": "Song (Vocals)", "stem_from_id": "song", "duration": "183.4", "part": "vocals", "t'
    'ake": 1}, {"id": "b", "status": "complete", "created_at": "2026-11-25T10:00:00.000Z", "title": "Song'
    ' (Drums)", "stem_from_id": "song", "duration": "183.4", "part": "drums", "take": 1}]}'
)

AGAIN = (
    '{"state": "delivering", "webhook_url": "https://hooks.example.com/x", "audio_format": "wav", "budget'
    '": {"whose": "caller n8n", "name": "downloads:caller:n8n", "unit": "downloads", "limit": 20, "days":'
    ' 30}, "base": "https://stems.example.com/", "webhook_id": "msg_8b5260f3632a413a987334c009fe4ba4", "a'
    'ccount": "default", "caller": "n8n", "request_id": "lanterns-1", "song_id": "song", "task": "twelve"'
    ', "stem_name": "", "began": 1800000000.0, "body": "{\\"type\\": \\"stems.completed\\", \\"timestamp\\": \\'
    '"2026-11-30T04:50:20.044134+00:00\\", \\"data\\": {\\"request_id\\": \\"lanterns-1\\", \\"audio_id\\": \\"'
    'song\\", \\"stem_task\\": \\"twelve\\", \\"stems\\": [{\\"id\\": \\"a\\", \\"status\\": \\"complete\\", \\'
    '"created_at\\": \\"2026-11-25T10:00:00.000Z\\", \\"title\\": \\"Song (Vocals)\\", \\"stem_from_id\\": \\"s'
    'ong\\", \\"duration\\": \\"183.4\\", \\"part\\": \\"vocals\\", \\"take\\": 1}, {\\"id\\": \\"b\\", \\"stat'
    'us\\": \\"complete\\", \\"created_at\\": \\"2026-11-25T10:00:00.000Z\\", \\"title\\": \\"Song (Drums)\\", '
    '\\"stem_from_id\\": \\"song\\", \\"duration\\": \\"183.4\\", \\"part\\": \\"drums\\", \\"take\\": 1}], \\"'
    'files\\": [{\\"id\\": \\"a\\", \\"format\\": \\"wav\\", \\"status\\": \\"kept\\", \\"bytes\\": 176444, \\"'
    'filename\\": \\"Song - Vocals.wav\\", \\"error\\": null}, {\\"id\\": \\"b\\", \\"format\\": \\"wav\\", \\"'
    'status\\": \\"failed\\", \\"bytes\\": null, \\"filename\\": \\"Song - Drums.wav\\", \\"error\\": \\"Suno c'
    'ould not make this clip.\\"}]}}", "files": ["file:532bd7b955950601d52618a90fab98b0:a.wav", "file:532b'
    'd7b955950601d52618a90fab98b0:b.wav"], "attempts": [{"at": "2027-01-15T08:00:00Z", "status": 500, "sa'
    'id": "no"}, {"at": "2027-01-15T08:00:06Z", "status": 200, "said": "thanks"}], "next_at": null, "not_'
    'before": 0.0, "stems": [{"id": "a", "status": "complete", "created_at": "2026-11-25T10:00:00.000Z", '
    '"title": "Song (Vocals)", "stem_from_id": "song", "duration": "183.4", "part": "vocals", "take": 1},'
    ' {"id": "b", "status": "complete", "created_at": "2026-11-25T10:00:00.000Z", "title": "Song (Drums)"'
    ', "stem_from_id": "song", "duration": "183.4", "part": "drums", "take": 1}], "before": 2}'
)

FILE_CLAIMED = (
    '{"kind": "file", "state": "fetching", "account": "default", "owner": "user", "budget": {"whose": "ca'
    'ller n8n", "name": "downloads:caller:n8n", "unit": "downloads", "limit": 20, "days": 30}, "details":'
    ' {"id": "a", "song_id": "song", "song_title": "Song", "title": "Song (Vocals)", "part": "vocals", "t'
    'ake": null, "created_at": "2026-11-25T10:00:00.000Z", "duration": 183.4, "status": "complete"}, "for'
    'mat": "wav", "began": 1800000000.0, "tries": 0, "unlocked": false, "waiting": ["18ecb96adbba67408948'
    '7af2f3386efd"], "bytes": null, "code": null, "error": null, "claim": "18ecb96add3cbbedd6cc7a3d6d3ea9'
    '51", "claimed_at": ["0f1e2d3c-boot", 1000.0, 1800000000.0], "claimed_for": 45.0}'
)

FILE_KEPT = (
    '{"kind": "file", "state": "kept", "account": "default", "owner": "user", "budget": {"whose": "caller'
    ' n8n", "name": "downloads:caller:n8n", "unit": "downloads", "limit": 20, "days": 30}, "details": {"i'
    'd": "a", "song_id": "song", "song_title": "Song", "title": "Song (Vocals)", "part": "vocals", "take"'
    ': null, "created_at": "2026-11-25T10:00:00.000Z", "duration": 183.4, "status": "complete"}, "format"'
    ': "wav", "began": 1800000000.0, "tries": 2, "unlocked": true, "waiting": ["18ecb96adbba674089487af2f'
    '3386efd"], "bytes": 176444, "code": null, "error": null}'
)

FILE_FAILED = (
    '{"kind": "file", "state": "failed", "account": "default", "owner": "user", "budget": {"whose": "call'
    'er n8n", "name": "downloads:caller:n8n", "unit": "downloads", "limit": 20, "days": 30}, "details": {'
    '"id": "b", "song_id": "song", "song_title": "Song", "title": "Song (Drums)", "part": "drums", "take"'
    ': null, "created_at": "2026-11-25T10:00:00.000Z", "duration": 183.4, "status": "complete"}, "format"'
    ': "wav", "began": 1800000000.0, "tries": 0, "unlocked": false, "waiting": ["18ecb96adbba674089487af2'
    'f3386efd"], "bytes": null, "code": "suno", "error": "Suno could not make this clip."}'
)
