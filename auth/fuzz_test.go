package auth

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"leadevents"
	"leadevents/internal/httpserver"
)

// FuzzKeyJSON: an API key that is asked for over HTTP has a name of one line, scopes
// that there are, and an end that is to come; all else is refused.
func FuzzKeyJSON(f *testing.F) {
	for _, seed := range []string{
		`{"name":"crm"}`, `{"name":"reader","scopes":["query","query"],"expiresAt":"2099-12-31T23:59:59.9999+01:00"}`, `{"name":"","scopes":[]}`, `{"name":"a\nb"}`,
		`{"name":"x","scopes":["root"]}`, `{"name":"x","scopes":null,"expiresAt":null}`, `{"name":"x","expiresAt":"1970-01-01T00:00:00Z"}`, `{"name":"x","expiresAt":"2100-01-01T00:00:00Z"}`,
		`{"name":"` + strings.Repeat("ä", 200) + `"}`, `{"name":"\u2028"}`, `[]`, `{"name":1}`,
	} {
		f.Add([]byte(seed))
	}
	now := time.Date(2026, 5, 12, 18, 34, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte) {
		var in keyJSON
		err := httpserver.UnmarshalStrict(body, &in)
		var r KeyRequest
		if err == nil {
			r, err = in.request(now)
		}
		if err != nil {
			if kind := leadevents.KindOf(err); kind != leadevents.InvalidJSON && kind != leadevents.InvalidRequest || !utf8.ValidString(err.Error()) {
				t.Fatalf("%v", err)
			}
			return
		}
		if n := utf8.RuneCountInString(r.Name); n < 1 || n > MaxNameLength || strings.ContainsFunc(r.Name, unicode.IsControl) || strings.TrimSpace(r.Name) == "" {
			t.Fatalf("the name %q", r.Name)
		}
		if r.Scopes == 0 || r.Scopes&^AllScopes != 0 {
			t.Fatalf("the scopes %b", r.Scopes)
		}
		if in.Scopes == nil && r.Scopes != DefaultScopes {
			t.Fatalf("without scopes: %s", r.Scopes)
		}
		if !r.ExpiresAt.IsZero() && (!r.ExpiresAt.After(now) || r.ExpiresAt.Year() > 2099 || r.ExpiresAt.Nanosecond()%1e6 != 0) {
			t.Fatalf("the end %s", r.ExpiresAt)
		}
	})
}

// FuzzIDs: what is taken for an id has an id's shape, and what is refused is not quoted:
// it may be a key with a typo.
func FuzzIDs(f *testing.F) {
	for _, seed := range []string{fixedKey, fixedKey[:13], fixedKey[3:13], "le_", "les_" + strings.Repeat("x", 44), "0OIl000000", "42", "-1", "+1", "18446744073709551616", "api_key", "ingest", "éééééééééé"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := ParseKeyID(text); err == nil {
			if !isID(id) || !strings.Contains(text, id) {
				t.Fatalf("%q is %q", text, id)
			}
		} else if len(text) > 20 && strings.Contains(err.Error(), text) {
			t.Fatalf("%v quotes it", err)
		}
		if id, err := ParseSigningKeyID(text); err == nil && (id != text || len(id) != idLength) {
			t.Fatalf("%q is %q", text, id)
		} else if err != nil && len(text) > 20 && strings.Contains(err.Error(), text) {
			t.Fatalf("%v quotes it", err)
		}
		if org, err := ParseOrgID(text); err == nil && (org == 0 || strings.TrimLeft(text, "0") != org.String()) {
			t.Fatalf("%q is organization %d", text, org)
		}
		if mode, err := ParseMode(text); err == nil && string(mode) != text {
			t.Fatalf("%q is the mode %s", text, mode)
		}
		if scopes, err := ParseScopes([]string{text}); err == nil && scopes.String() != text {
			t.Fatalf("%q is %s", text, scopes)
		}
	})
}
