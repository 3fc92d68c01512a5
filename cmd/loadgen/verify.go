package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// compare holds the answers against the keys that became stored meanwhile: as
// many as were answered inserted. An attempt without an answer may have stored and
// counted keys that its successor was told to be duplicates, unless both bore
// one Idempotency-Key.
func (t *tally) compare(out io.Writer, stored uint64, idempotent bool) error {
	exact := t.failed == 0 && (t.resent == 0 || idempotent)
	switch {
	case t.Inserted == stored:
		fmt.Fprintf(out, "verified: %d keys more are stored, as many as were answered inserted\n", stored)
	case !exact && t.Inserted < stored:
		fmt.Fprintf(out, "verified: %d keys more are stored, at least the %d answered inserted (some calls went unanswered)\n", stored, t.Inserted)
	default:
		return fmt.Errorf("%d keys more are stored, but %d were answered inserted", stored, t.Inserted)
	}
	return nil
}

// devFile is what we need of dev.json (API.md 7).
type devFile struct {
	URL            string
	OrganizationID uint64
	APIKey         string
	ClickHouse     struct{ HTTP, Database, User, Password string }
}

func readDevFile(path string) (*devFile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read dev.json (is `leadevents dev` ready on that folder?): %w", err)
	}
	var d devFile
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return &d, nil
}

// storedKeys counts the distinct keys of an organization, without FINAL: from
// the rows, not from what the engine makes of them.
func (d *devFile) storedKeys(ctx context.Context, org uint64) (keys uint64, err error) {
	query := fmt.Sprintf("SELECT uniqExact(event_type, phone, occurred_at) FROM %s.lead_events WHERE organization_id = %d FORMAT JSONCompactEachRow SETTINGS output_format_json_quote_64bit_integers = 0", d.ClickHouse.Database, org)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+d.ClickHouse.HTTP+"/", strings.NewReader(query))
	if err != nil {
		return 0, err
	}
	request.SetBasicAuth(d.ClickHouse.User, d.ClickHouse.Password)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("count the stored keys: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return 0, errors.Join(fmt.Errorf("count the stored keys: status %d: %.300s", response.StatusCode, text), err)
	}
	var row []uint64
	if err := json.Unmarshal(text, &row); err != nil || len(row) != 1 {
		return 0, fmt.Errorf("count the stored keys: the answer %.300q is not one number", text)
	}
	return row[0], nil
}
