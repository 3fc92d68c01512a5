package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"leadevents/auth"
)

// The paths of administration.
const (
	organizationsPath = "/api/v1/admin/organizations"
	limitsPath        = "/api/v1/settings/limits"
	webhooksPath      = "/api/v1/settings/webhooks"
	keysPath          = "/api/v1/api-keys"
	signingPath       = "/api/v1/signing-keys"
	auditPath         = "/api/v1/audit"
	eventsPath        = "/api/v1/events"
	leadPath          = "/api/v1/leads/{phone}"
	retentionPath     = "/api/v1/settings/retention"
)

// administered is whatever an answer of administration has.
type administered struct {
	ID, Name, Key, Secret, Prefix, AuthMode, Warning string

	ReplayToleranceSeconds *int

	OrganizationID int
	Scopes         []string
	APIKey         struct{ ID, Key string }
	ExpiresAt      *string
	RevokedAt      string
	APIKeys        []listed
	SigningKeys    []listed
	Organizations  []struct {
		OrganizationID int
		Name, AuthMode string
	}
	Error struct{ Code, Message string }
}

type listed struct {
	ID, Name, Prefix, CreatedAt      string
	ExpiresAt, LastUsedAt, RevokedAt *string
	Uses                             int
	SafeToRevoke                     bool
}

// administer sends what the credential of that name asks for, which must be
// answered by the status.
func (s *sender) administer(status int, credential, method, path, body string) (r administered) {
	s.t.Helper()
	path, query, _ := strings.Cut(path, "?")
	a := s.sendAgain(method, path, []byte(body), sending{Credential: credential, Query: query})
	if err := json.Unmarshal(a.body, &r); err != nil || a.status != status {
		s.t.Fatalf("%s %s %s by %s: %d %s (%v); want %d", method, path, body, credential, a.status, a.body, err, status)
	}
	if r.Key+r.Secret+r.APIKey.Key != "" && a.header.Get("Cache-Control") != "no-store" {
		s.t.Errorf("%s %s: a secret that caches may keep", method, path)
	}
	return r
}

// adopt makes a credential of a key that an answer revealed.
func (s *sender) adopt(name, key string) { s.credentials[name] = bearer(auth.NewSecret(key)) }

// key is one of a list.
func (s *sender) key(credential, path, id string) listed {
	s.t.Helper()
	r := s.administer(200, credential, http.MethodGet, path, "")
	for _, k := range append(r.APIKeys, r.SigningKeys...) {
		if k.ID == id {
			return k
		}
	}
	s.t.Fatalf("%s has no key %s", path, id)
	return listed{}
}

// All of administration as its users go through it, against one server: what is
// made works in the next request, what is revoked does not.
func TestAnOrganizationIsAdministeredOverHTTP(t *testing.T) {
	s, from := storeSettings(t), newSender(t)
	s.Auth.UnusedAfter, s.Auth.FlushInterval = 3*time.Second, time.Second
	s.Log.Requests = true
	log := &logOf{}
	prove(t, &s, from)
	base, stop := startServe(t, s, log)
	defer stop()
	from.base = base
	event := func(org int) []byte {
		return fmt.Appendf(nil, `{"organizationId":%d,"eventType":"administered","events":[{"phoneE164":"+15551234567","occurredAt":"2026-05-12T18:34:00Z"}]}`, org)
	}
	ingest := func(status, org int, credential string) {
		t.Helper()
		if a := from.sendAgain(http.MethodPost, ingestPath, event(org), sending{Credential: credential}); a.status != status {
			t.Fatalf("an event of %d by %s: %d %s; want %d", org, credential, a.status, a.body, status)
		}
	}

	made := from.administer(201, "operator", http.MethodPost, organizationsPath, `{"name":"Acme","organizationId":60}`)
	if made.OrganizationID != 60 || made.Name != "Acme" || made.AuthMode != "api_key" || made.APIKey.ID == "" {
		t.Errorf("created: %+v", made)
	}
	from.adopt("first", made.APIKey.Key)
	ingest(200, 60, "first")
	from.administer(409, "operator", http.MethodPost, organizationsPath, `{"name":"Acme again","organizationId":60}`)
	if next := from.administer(201, "operator", http.MethodPost, organizationsPath, `{"name":"Next","organizationId":null}`); next.OrganizationID != 61 {
		t.Errorf("the next organization has the number %d", next.OrganizationID)
	}
	if all := from.administer(200, "operator", http.MethodGet, organizationsPath, "").Organizations; len(all) != 5 || all[3].Name != "Acme" {
		t.Errorf("organizations: %+v", all)
	}

	// Keys: scopes, expiry, use, revocation.
	crm := from.administer(201, "first", http.MethodPost, keysPath, `{"name":"crm"}`)
	if strings.Join(crm.Scopes, ",") != "ingest,campaigns,query" || crm.ExpiresAt != nil || !strings.HasPrefix(crm.Key, crm.Prefix) {
		t.Errorf("a key without scopes: %+v", crm)
	}
	from.adopt("crm", crm.Key)
	ingest(200, 60, "crm")
	from.administer(403, "crm", http.MethodGet, keysPath, "")
	reader := from.administer(201, "first", http.MethodPost, keysPath, `{"name":"reader","scopes":["query","query"],"expiresAt":"2099-12-31T23:59:59.9999+01:00"}`)
	if strings.Join(reader.Scopes, ",") != "query" || *reader.ExpiresAt != "2099-12-31T22:59:59.999Z" {
		t.Errorf("a key with scope and end: %+v", reader)
	}
	short := from.administer(201, "first", http.MethodPost, keysPath, fmt.Sprintf(`{"name":"short","expiresAt":%q}`, time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano)))
	from.adopt("short", short.Key)
	eventually(t, "the key ends", func() bool {
		return from.send(http.MethodGet, "/api/v1/batches", nil, sending{Credential: "short"}).status == 401
	})
	if k := from.key("first", keysPath, short.ID); !k.SafeToRevoke || k.RevokedAt != nil {
		t.Errorf("an expired key: %+v", k)
	}
	// Eventually: while counts are being written they are in neither place.
	eventually(t, "a key was used for an event and a refusal", func() bool {
		k := from.key("first", keysPath, crm.ID)
		return k.Uses == 2 && k.LastUsedAt != nil && k.Prefix == crm.Prefix
	})
	eventually(t, "the reader's key is safe to revoke", func() bool { return from.key("first", keysPath, reader.ID).SafeToRevoke })
	if from.key("first", keysPath, made.APIKey.ID).SafeToRevoke {
		t.Error("the last admin key is safe to revoke")
	}
	when := from.administer(200, "first", http.MethodDelete, keysPath+"/"+crm.ID, "").RevokedAt
	ingest(401, 60, "crm")
	if again := from.administer(200, "first", http.MethodDelete, keysPath+"/"+crm.Prefix, "").RevokedAt; again != when || when == "" {
		t.Errorf("revoked at %q, and again at %q", when, again)
	}
	if k := from.key("first", keysPath, crm.ID); k.RevokedAt == nil || *k.RevokedAt != when || k.SafeToRevoke {
		t.Errorf("a revoked key: %+v", k)
	}
	// Nobody ends a key of another organization, or learns that it is there.
	for _, path := range []string{keysPath + "/" + reader.ID, keysPath + "/zzzzzzzzzz", keysPath + "/nonsense", signingPath + "/" + reader.ID} {
		if r := from.administer(404, "second", http.MethodDelete, path, ""); r.Error.Code != "not_found" {
			t.Errorf("%s: %+v", path, r.Error)
		}
	}

	// hmac: refused without a signing key, and the old way is closed by it.
	if r := from.administer(409, "first", http.MethodPut, webhooksPath, `{"authMode":"hmac"}`); !strings.Contains(r.Error.Message, "create a signing key first") {
		t.Errorf("hmac without a signing key: %+v", r.Error)
	}
	ingest(200, 60, "first")
	one := from.administer(201, "first", http.MethodPost, signingPath, `{"name":"one"}`)
	two := from.administer(201, "first", http.MethodPost, signingPath, `{"name":"two"}`)
	from.credentials["one"], from.credentials["two"] = signature(auth.NewSecret(one.Secret)), signature(auth.NewSecret(two.Secret))
	ingest(401, 60, "one")
	if r := from.administer(200, "first", http.MethodPut, webhooksPath, `{"authMode":"hmac"}`); r.AuthMode != "hmac" {
		t.Errorf("switched: %+v", r)
	}
	ingest(401, 60, "first")
	ingest(200, 60, "one")
	ingest(200, 60, "two")
	eventually(t, "a signing key was used", func() bool {
		k := from.key("first", signingPath, one.ID)
		return k.Uses == 1 && k.LastUsedAt != nil
	})
	if r := from.administer(200, "first", http.MethodDelete, signingPath+"/"+one.ID, ""); r.Warning != "" || r.RevokedAt == "" {
		t.Errorf("one of two: %+v", r)
	}
	ingest(401, 60, "one")
	ingest(200, 60, "two")
	if r := from.administer(200, "first", http.MethodDelete, signingPath+"/"+two.ID, ""); !strings.Contains(r.Warning, "its webhooks are refused") {
		t.Errorf("the last one: %+v", r)
	}
	ingest(401, 60, "two")
	ingest(401, 60, "first")
	from.administer(200, "first", http.MethodPut, webhooksPath, `{"authMode":"api_key"}`)
	ingest(200, 60, "first")

	// The last key that administers.
	if r := from.administer(409, "first", http.MethodDelete, keysPath+"/"+made.APIKey.ID, ""); !strings.Contains(r.Error.Message, "?force=true") {
		t.Errorf("the last admin key: %+v", r.Error)
	}
	from.administer(409, "first", http.MethodDelete, keysPath+"/"+made.APIKey.ID+"?force=false", "")
	from.administer(200, "first", http.MethodDelete, keysPath+"/"+made.APIKey.ID+"?force=true", "")
	from.administer(401, "first", http.MethodGet, keysPath, "")

	text := log.String()
	for _, secret := range []string{made.APIKey.Key, crm.Key, reader.Key, short.Key, one.Secret, two.Secret, s.OperatorToken.Reveal()} {
		if secret == "" || strings.Contains(text, secret) {
			t.Errorf("the log tells a secret, or there was none: %.6s…", secret)
		}
	}
	if !strings.Contains(text, keysPath+"/:id") {
		t.Error("the requests were not logged: that no secret was proves nothing")
	}
}

// What is wrong with a request is told in the contract's order, and changes
// nothing.
func TestAdministrationIsRefusedInTheContractsOrder(t *testing.T) {
	from, _ := served(t)
	before := from.administer(200, "apiKey", http.MethodGet, keysPath, "")
	large := strings.Repeat(" ", 10<<20+1)
	for _, tc := range []struct {
		credential, method, path, body string
		status                         int
		code, says                     string
	}{
		{"none", "POST", keysPath, large, 413, "body_too_large", "10485760"},
		{"none", "POST", organizationsPath, large, 413, "body_too_large", "10485760"},
		{"none", "POST", keysPath, "{", 401, "unauthenticated", "no credential"},
		{"narrow", "POST", keysPath, "{", 400, "invalid_json", "at byte 1"},
		{"narrow", "POST", keysPath, `{}`, 400, "invalid_request", "name is missing"},
		{"narrow", "POST", keysPath + "?x=1", `{"name":"k"}`, 400, "invalid_request", `"x" is unknown`},
		{"narrow", "POST", keysPath, `{"name":"k"}`, 403, "forbidden", "lacks the scope admin"},
		{"apiKey", "POST", keysPath, `{"name":"k","name":"l"}`, 400, "invalid_json", "twice"},
		{"apiKey", "POST", keysPath, `{"name":"k"} x`, 400, "invalid_json", "byte 13"},
		{"apiKey", "POST", keysPath, `{"name":"k","organizationId":43}`, 400, "invalid_request", "organizationId is unknown"},
		{"apiKey", "POST", keysPath, `{"name":7}`, 400, "invalid_request", "name must be a string"},
		{"apiKey", "POST", keysPath, `{"name":"` + strings.Repeat("ä", 201) + `"}`, 400, "invalid_request", "at most 200"},
		{"apiKey", "POST", keysPath, `{"name":"a\nb"}`, 400, "invalid_request", "control character"},
		{"apiKey", "POST", keysPath, `{"name":"k","scopes":[]}`, 400, "invalid_request", "scopes is empty"},
		{"apiKey", "POST", keysPath, `{"name":"k","scopes":["query","Query"]}`, 400, "invalid_request", `"Query"`},
		{"apiKey", "POST", keysPath, `{"name":"k","scopes":"query"}`, 400, "invalid_request", "scopes must be an array"},
		{"apiKey", "POST", keysPath, `{"name":"k","expiresAt":"2090-01-01"}`, 400, "invalid_request", "RFC 3339"},
		{"apiKey", "POST", keysPath, `{"name":"k","expiresAt":"2090-01-01T00:00:00,5Z"}`, 400, "invalid_request", "RFC 3339"},
		{"apiKey", "POST", keysPath, `{"name":"k","expiresAt":""}`, 400, "invalid_request", "RFC 3339"},
		{"apiKey", "POST", keysPath, `{"name":"k","expiresAt":"0001-01-01T00:00:00Z"}`, 400, "invalid_request", "in the future"},
		{"apiKey", "POST", keysPath, `{"name":"k","expiresAt":"2020-01-01T00:00:00Z"}`, 400, "invalid_request", "in the future"},
		{"apiKey", "POST", keysPath, `{"name":"k","expiresAt":"2100-01-01T00:00:00Z"}`, 400, "invalid_request", "before 2100"},
		{"apiKey", "GET", keysPath + "?limit=1", "", 400, "invalid_request", "limit"},
		{"narrow", "GET", keysPath, "", 403, "forbidden", "admin"},
		{"narrow", "DELETE", keysPath + "/nonsense?force=yes", "", 400, "invalid_request", "force must be true or false"},
		{"narrow", "DELETE", keysPath + "/nonsense", "", 403, "forbidden", "admin"},
		{"apiKey", "DELETE", keysPath + "/nonsense", "", 404, "not_found", "no API key"},
		{"apiKey", "DELETE", keysPath + "/nonsense?force=", "", 400, "invalid_request", "force is empty"},
		{"narrow", "POST", signingPath, `{"name":""}`, 400, "invalid_request", "name is missing"},
		{"narrow", "POST", signingPath, `{"name":"k"}`, 403, "forbidden", "admin"},
		{"apiKey", "POST", signingPath, `{"name":"k","secret":"mine"}`, 400, "invalid_request", "secret is unknown"},
		{"apiKey", "DELETE", signingPath + "/nonsense", "", 404, "not_found", "no signing key"},
		{"narrow", "DELETE", signingPath + "/nonsense?force=true", "", 400, "invalid_request", "force"},
		{"narrow", "PUT", webhooksPath, `{"authMode":"basic"}`, 400, "invalid_request", "api_key or hmac"},
		{"narrow", "PUT", webhooksPath, `{"authMode":"hmac"}`, 403, "forbidden", "admin"},
		{"apiKey", "PUT", webhooksPath, `{}`, 400, "invalid_request", "authMode"},
		{"apiKey", "PUT", webhooksPath, `null`, 400, "invalid_request", "must be a JSON object"},
		{"apiKey", "PUT", webhooksPath, `{"authMode":"hmac"}`, 409, "conflict", "signing key"},
		{"apiKey", "PUT", webhooksPath, `{"replayToleranceSeconds":60}`, 400, "invalid_request", "authMode"},
		{"narrow", "PUT", webhooksPath, `{"authMode":"api_key","replayToleranceSeconds":9}`, 400, "invalid_request", "0 (off), or whole seconds from 10 to 3600"},
		{"apiKey", "PUT", webhooksPath, `{"authMode":"api_key","replayToleranceSeconds":-1}`, 400, "invalid_request", "10 to 3600"},
		{"apiKey", "PUT", webhooksPath, `{"authMode":"api_key","replayToleranceSeconds":3601}`, 400, "invalid_request", "10 to 3600"},
		{"apiKey", "PUT", webhooksPath, `{"authMode":"api_key","replayToleranceSeconds":9223372036854775807}`, 400, "invalid_request", "10 to 3600"},
		{"apiKey", "PUT", webhooksPath, `{"authMode":"api_key","replayToleranceSeconds":60.5}`, 400, "invalid_request", "replayToleranceSeconds must be"},
		{"apiKey", "PUT", webhooksPath, `{"authMode":"api_key","replayToleranceSeconds":"60"}`, 400, "invalid_request", "replayToleranceSeconds must be"},
		{"apiKey", "PUT", webhooksPath, `{"authMode":"api_key","replayTolerance":60}`, 400, "invalid_request", "replayTolerance is unknown"},
		{"apiKey", "GET", organizationsPath, "", 401, "unauthenticated", "operator token"},
		{"malformed", "POST", organizationsPath, "{", 401, "unauthenticated", "operator token"},
		{"operator", "POST", organizationsPath, "{", 400, "invalid_json", "at byte 1"},
		{"operator", "POST", organizationsPath, `{"name":""}`, 400, "invalid_request", "name is missing"},
		{"operator", "POST", organizationsPath, `{"name":"x","organizationId":-1}`, 400, "invalid_request", "organizationId"},
		{"operator", "POST", organizationsPath, `{"name":"x","organizationId":"7"}`, 400, "invalid_request", "organizationId"},
		{"operator", "POST", organizationsPath, `{"name":"x","organizationId":9007199254740992}`, 400, "invalid_request", "2^53"},
		{"operator", "POST", organizationsPath, `{"name":"x","authMode":"hmac"}`, 400, "invalid_request", "authMode is unknown"},
		{"operator", "GET", organizationsPath + "?all=true", "", 400, "invalid_request", "all"},
		{"operator", "GET", keysPath, "", 401, "unauthenticated", "API key"},
	} {
		r := from.administer(tc.status, tc.credential, tc.method, tc.path, tc.body)
		if r.Error.Code != tc.code || !strings.Contains(r.Error.Message, tc.says) {
			t.Errorf("%s %s %.60s by %s: %+v; want %s, %q", tc.method, tc.path, tc.body, tc.credential, r.Error, tc.code, tc.says)
		}
	}
	after := from.administer(200, "apiKey", http.MethodGet, keysPath, "")
	if len(after.APIKeys) != len(before.APIKeys) || len(from.administer(200, "apiKey", http.MethodGet, signingPath, "").SigningKeys) != 0 {
		t.Errorf("%d keys, after what was refused %d", len(before.APIKeys), len(after.APIKeys))
	}
	if all := from.administer(200, "operator", http.MethodGet, organizationsPath, "").Organizations; len(all) != 3 {
		t.Errorf("organizations: %+v", all)
	}
}

// A server without an operator token is closed to every operator.
func TestWithoutAnOperatorTokenNobodyIsTheOperator(t *testing.T) {
	s, from := storeSettings(t), newSender(t)
	prove(t, &s, from)
	s.OperatorToken = auth.Secret{}
	base, stop := startServe(t, s, &logOf{})
	defer stop()
	from.base = base
	from.credentials["empty"] = func(h http.Header, _ []byte) { h.Set("Authorization", "Bearer ") }
	for _, credential := range []string{"operator", "empty", "none", "apiKey"} {
		from.administer(401, credential, http.MethodGet, organizationsPath, "")
		from.administer(401, credential, http.MethodPost, organizationsPath, `{"name":"x"}`)
	}
}
