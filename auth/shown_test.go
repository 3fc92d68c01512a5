package auth_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"leadevents/auth"
)

// What is shown has the names of API.md 6, and a secret only where it is created.
func TestShownJSON(t *testing.T) {
	made := time.Date(2026, 5, 12, 18, 34, 0, 7e6, time.UTC)
	o := auth.Organization{ID: 42, Name: "Acme", AuthMode: auth.ModeHMAC, CreatedAt: made, Claim: 7, ReplayTolerance: 5 * time.Minute}
	k := auth.APIKey{ID: "7Kc9QmPxRt", Org: 42, Name: "crm", SHA256: [32]byte{1}, Scopes: auth.DefaultScopes, CreatedAt: made}
	used := k
	used.ExpiresAt, used.LastUsedAt, used.RevokedAt = made.Add(3*time.Hour), made.Add(time.Hour), made.Add(2*time.Hour)
	used.Uses, used.SafeToRevoke = 12, true
	s := auth.SigningKey{ID: "8Kc9QmPxRt", Org: 42, Name: "sign", Sealed: "AQID", MasterKeyID: "0f", CreatedAt: made}
	const key, secret = "le_the_key", "les_the_secret"
	newKey := auth.NewAPIKey{APIKey: k, Key: auth.NewSecret(key)}
	for _, c := range []struct {
		claim string
		shown any
		want  string
	}{
		{"an organization", o.Show(),
			`{"organizationId":42,"name":"Acme","authMode":"hmac","createdAt":"2026-05-12T18:34:00.007Z","replayToleranceSeconds":300}`},
		{"a new organization", auth.NewOrganization{Organization: o, FirstKey: newKey}.Reveal(),
			`{"organizationId":42,"name":"Acme","authMode":"hmac","createdAt":"2026-05-12T18:34:00.007Z","replayToleranceSeconds":300,"apiKey":{"id":"7Kc9QmPxRt","key":"le_the_key","prefix":"le_7Kc9QmPxRt","scopes":["ingest","campaigns","query"]}}`},
		{"a key", k.Show(),
			`{"id":"7Kc9QmPxRt","name":"crm","prefix":"le_7Kc9QmPxRt","scopes":["ingest","campaigns","query"],"createdAt":"2026-05-12T18:34:00.007Z","expiresAt":null,"lastUsedAt":null,"revokedAt":null,"uses":0,"safeToRevoke":false}`},
		{"a key that has lived", used.Show(),
			`{"id":"7Kc9QmPxRt","name":"crm","prefix":"le_7Kc9QmPxRt","scopes":["ingest","campaigns","query"],"createdAt":"2026-05-12T18:34:00.007Z","expiresAt":"2026-05-12T21:34:00.007Z","lastUsedAt":"2026-05-12T19:34:00.007Z","revokedAt":"2026-05-12T20:34:00.007Z","uses":12,"safeToRevoke":true}`},
		{"a key without scopes", auth.APIKey{CreatedAt: made}.Show(),
			`{"id":"","name":"","prefix":"le_","scopes":[],"createdAt":"2026-05-12T18:34:00.007Z","expiresAt":null,"lastUsedAt":null,"revokedAt":null,"uses":0,"safeToRevoke":false}`},
		{"a new key", newKey.Reveal(),
			`{"id":"7Kc9QmPxRt","name":"crm","prefix":"le_7Kc9QmPxRt","key":"le_the_key","scopes":["ingest","campaigns","query"],"createdAt":"2026-05-12T18:34:00.007Z","expiresAt":null}`},
		{"a signing key", s.Show(),
			`{"id":"8Kc9QmPxRt","name":"sign","createdAt":"2026-05-12T18:34:00.007Z","lastUsedAt":null,"revokedAt":null,"uses":0,"safeToRevoke":false}`},
		{"a key that is revoked", used.ShowRevocation(), `{"id":"7Kc9QmPxRt","name":"crm","revokedAt":"2026-05-12T20:34:00.007Z"}`},
		{"the last signing key, revoked", auth.SigningKey{ID: "8Kc9QmPxRt", Org: 42, Name: "sign", RevokedAt: made}.ShowRevocation(true),
			`{"id":"8Kc9QmPxRt","name":"sign","revokedAt":"2026-05-12T18:34:00.007Z","warning":"organization 42 is in hmac mode and has no active signing key any more: its webhooks are refused until one is made or its mode is api_key"}`},
		{"a new signing key", auth.NewSigningKey{SigningKey: s, Secret: auth.NewSecret(secret)}.Reveal(),
			`{"id":"8Kc9QmPxRt","name":"sign","secret":"les_the_secret","createdAt":"2026-05-12T18:34:00.007Z"}`},
	} {
		t.Run(c.claim, func(t *testing.T) {
			got, err := json.Marshal(c.shown)
			if err != nil || string(got) != c.want {
				t.Errorf("got  %s %v\nwant %s", got, err, c.want)
			}
			if revealed := strings.Contains(string(got), "the_"); revealed != strings.Contains(c.claim, "new") {
				t.Errorf("a secret shows: %v", revealed)
			}
		})
	}
}
