package query

import (
	"strconv"

	"leadevents"
	"leadevents/auth"
)

// limit is the parameter of that name.
func limit(by auth.Asker, fallback, most int) (int, error) {
	text := by.Parameters["limit"]
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, leadevents.Errorf(leadevents.InvalidRequest, "limit must be 1 to %d", most)
	}
	return n, nil
}

// moment reads a time of the query string; absent is zero.
func moment(name, text string) (leadevents.Millis, error) {
	if text == "" {
		return 0, nil
	}
	at, ok := leadevents.ParseMillis([]byte(text))
	if !ok {
		return 0, leadevents.Errorf(leadevents.InvalidRequest, "%s must be a time as RFC 3339 with an offset, such as 2026-05-12T18:34:00Z, from 1970 to before 2100 (a + in it is written %%2B)", name)
	}
	return at, nil
}
