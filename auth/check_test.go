package auth_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leadevents"
	"leadevents/auth"
)

func TestKey(t *testing.T) {
	p := started(t, auth.Config{MasterKeys: masterKeys(t)})
	org := p.organization(t, 7)
	usual := p.key(t, 7, auth.KeyRequest{})
	narrow := p.key(t, 7, auth.KeyRequest{Scopes: auth.Scopes(auth.Ingest)})
	expiring := p.key(t, 7, auth.KeyRequest{ExpiresAt: p.clock.now().Add(2 * time.Hour)})
	expired := p.key(t, 7, auth.KeyRequest{ExpiresAt: p.clock.now().Add(time.Minute)})
	revoked := p.key(t, 7, auth.KeyRequest{})
	if _, err := p.RevokeKey(t.Context(), 7, revoked.ID, false); err != nil {
		t.Fatal(err)
	}
	secret := p.signingKey(t, 7)
	p.clock.advance(time.Hour)

	typo := []byte(usual.Key.Reveal())
	if typo[20]++; !strings.ContainsRune("23456789BCDEFGHJKLMNPQRSTUVWXYZbcdefghijkmnopqrstuvwxyz", rune(typo[20])) {
		typo[20] = 'a' // still a character of keys, and still another one
	}
	for _, c := range []struct {
		claim, header string
		scope         auth.Scope
		want, says    string
	}{
		{"the first key has every scope", header(org.FirstKey.Key), auth.Admin, "ok", ""},
		{"a key has ingest by default", header(usual.Key), auth.Ingest, "ok", ""},
		{"a key has campaigns by default", header(usual.Key), auth.Campaigns, "ok", ""},
		{"a key has query by default", header(usual.Key), auth.Query, "ok", ""},
		{"a key has no admin by default", header(usual.Key), auth.Admin, "forbidden", "lacks the scope admin (it has ingest,campaigns,query)"},
		{"a key lacks a scope", header(narrow.Key), auth.Query, "forbidden", "lacks the scope query"},
		{"a key that expires later", header(expiring.Key), auth.Query, "ok", ""},
		{"an expired key", header(expired.Key), auth.Query, "unauthenticated", "expired at "},
		{"a revoked key", header(revoked.Key), auth.Query, "unauthenticated", "is revoked"},
		{"no credential", "", auth.Query, "unauthenticated", "no credential was sent"},
		{"a typo", "Bearer " + string(typo), auth.Query, "unauthenticated", "mistyped (its checksum does not match)"},
		{"an unknown key", "Bearer le_7Kc9QmPxRt_8sYd2mUoQ1vZJw5nH7kR3bTg9xCf4pLeAqNtXyWzVuKj76X3P9", auth.Query, "unauthenticated", "is unknown"},
		{"another scheme", "Basic YTpi", auth.Query, "unauthenticated", "not of the form"},
		{"a signing secret", header(secret.Secret), auth.Query, "unauthenticated", "must not be sent"},
		{"a key without Bearer", usual.Key.Reveal(), auth.Query, "unauthenticated", "not of the form"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			got, err := p.Key(t.Context(), c.header, c.scope)
			if outcome(err) != c.want || !strings.Contains(message(err), c.says) {
				t.Fatalf("got %s, %v; want %s with %q", outcome(err), err, c.want, c.says)
			}
			if err == nil && (got.Org != 7 || got.Mode != auth.ModeAPIKey || !strings.Contains(c.header, "le_"+got.KeyID+"_") || !got.Scopes.Has(c.scope)) {
				t.Errorf("principal %+v", got)
			}
			if c.want == "unauthenticated" && got != (auth.Principal{}) {
				t.Errorf("an error and a principal: %+v", got)
			}
			if c.want == "forbidden" && got.Org != 7 {
				t.Errorf("who is refused is not told: %+v", got)
			}
		})
	}
}

func TestAKeyExpiresAtItsMillisecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := started(t, auth.Config{})
		p.organization(t, 7)
		k := p.key(t, 7, auth.KeyRequest{ExpiresAt: time.Now().Add(time.Hour)})
		time.Sleep(time.Until(k.ExpiresAt) - time.Nanosecond)
		if !p.accepts(t, k.Key) {
			t.Error("refused before it expires")
		}
		time.Sleep(time.Nanosecond)
		if p.accepts(t, k.Key) {
			t.Error("accepted when it expires")
		}
	})
}

func TestPrincipalRefusesAnotherOrganization(t *testing.T) {
	p := auth.Principal{Org: 7}
	if err := p.CheckOrganization(7); err != nil {
		t.Error(err)
	}
	if err := p.CheckOrganization(8); outcome(err) != "organization_mismatch" {
		t.Error(err)
	}
}

// webhooks is organizations in all states, and what they would send.
type webhooks struct {
	*process
	body                                    []byte
	keyA, otherA, narrowA, keyB, keyH       string // Authorization headers
	revokedA                                string
	signA, signH, signH2, gone, signX, junk string // X-Setter-Signature headers over body
}

const (
	orgA, orgB, orgH, orgX leadevents.OrgID = 1, 2, 3, 99 // api_key, api_key, hmac, not there
)

func newWebhooks(t *testing.T) *webhooks {
	w := &webhooks{process: started(t, auth.Config{MasterKeys: masterKeys(t)}), body: []byte(`{"organizationId":3,"events":[]}`)}
	w.keyA = header(w.organization(t, orgA).FirstKey.Key)
	w.keyB = header(w.organization(t, orgB).FirstKey.Key)
	w.keyH = header(w.organization(t, orgH).FirstKey.Key)
	w.otherA = header(w.key(t, orgA, auth.KeyRequest{}).Key)
	w.narrowA = header(w.key(t, orgA, auth.KeyRequest{Scopes: auth.Scopes(auth.Query)}).Key)
	revoked := w.key(t, orgA, auth.KeyRequest{})
	w.revokedA = header(revoked.Key)
	if _, err := w.RevokeKey(t.Context(), orgA, revoked.ID, false); err != nil {
		t.Fatal(err)
	}
	w.signA = auth.Sign(w.signingKey(t, orgA).Secret, w.body) // a signing key in api_key mode
	w.signH = auth.Sign(w.signingKey(t, orgH).Secret, w.body)
	w.signH2 = auth.Sign(w.signingKey(t, orgH).Secret, w.body)
	gone := w.signingKey(t, orgH)
	w.gone = auth.Sign(gone.Secret, w.body)
	if _, _, err := w.RevokeSigningKey(t.Context(), orgH, gone.ID); err != nil {
		t.Fatal(err)
	}
	w.signX = auth.Sign(auth.NewSecret("les_unknown"), w.body)
	w.junk = "sha256=xyz"
	w.mode(t, orgH, auth.ModeHMAC)
	return w
}

func (w *webhooks) send(t *testing.T, authorization, signature string, org leadevents.OrgID) (auth.Principal, error) {
	return w.Webhook(t.Context(), auth.Webhook{
		Authorization: authorization, Signature: signature, Body: w.body,
		Organization: func() (leadevents.OrgID, bool) { return org, org != 0 },
	})
}

func TestWebhookMatrix(t *testing.T) {
	w := newWebhooks(t)
	const noBodyOrg leadevents.OrgID = 0
	for _, c := range []struct {
		claim         string
		authorization string
		signature     string
		org           leadevents.OrgID // in the body
		want, says    string
		principal     leadevents.OrgID // whose; then the caller compares it with the body's
	}{
		{"no credential", "", "", orgA, "unauthenticated", "no credential was sent", 0},

		{"key, api_key mode", w.keyA, "", orgA, "ok", "", orgA},
		{"another key, api_key mode", w.otherA, "", orgA, "ok", "", orgA},
		{"key without scope ingest", w.narrowA, "", orgA, "forbidden", "lacks the scope ingest", orgA},
		{"revoked key", w.revokedA, "", orgA, "unauthenticated", "revoked", 0},
		{"malformed key", "Bearer x", "", orgA, "unauthenticated", "malformed", 0},
		{"another organization's key goes on to its mismatch", w.keyB, "", orgA, "ok", "", orgB},
		{"key, unknown organization in the body, goes on to its mismatch", w.keyA, "", orgX, "ok", "", orgA},
		{"key, no organization in the body, goes on to its 400", w.keyA, "", noBodyOrg, "ok", "", orgA},
		{"only the key in hmac mode", w.keyH, "", orgH, "unauthenticated", "is in hmac mode: its webhooks need a signature", 0},
		{"another organization's key for one in hmac mode goes on to its mismatch", w.keyA, "", orgH, "ok", "", orgA},

		{"signature, hmac mode", "", w.signH, orgH, "ok", "", orgH},
		{"signature of another active key", "", w.signH2, orgH, "ok", "", orgH},
		{"signature of a revoked signing key", "", w.gone, orgH, "unauthenticated", "does not prove", 0},
		{"signature by nobody's secret", "", w.signX, orgH, "unauthenticated", "does not prove", 0},
		{"malformed signature", "", w.junk, orgH, "unauthenticated", "64 hex digits", 0},
		{"another organization's signature", "", w.signA, orgH, "unauthenticated", "does not prove", 0},
		{"signature for an unknown organization", "", w.signH, orgX, "unauthenticated", "does not prove", 0},
		{"signature without an organization in the body", "", w.signH, noBodyOrg, "unauthenticated", "no organizationId", 0},
		{"only the signature in api_key mode", "", w.signA, orgA, "unauthenticated", "expects an API key", 0},

		{"both, hmac mode: the key is ignored", w.keyH, w.signH, orgH, "ok", "", orgH},
		{"both, hmac mode: a revoked key is ignored", w.revokedA, w.signH, orgH, "ok", "", orgH},
		{"both, hmac mode: another organization's key is ignored", w.keyA, w.signH, orgH, "ok", "", orgH},
		{"both, hmac mode: a malformed Authorization is ignored", "Basic x", w.signH, orgH, "ok", "", orgH},
		{"both, hmac mode: a wrong signature is not saved by the key", w.keyH, w.signX, orgH, "unauthenticated", "does not prove", 0},
		{"both, hmac mode: a malformed signature is not saved by the key", w.keyH, w.junk, orgH, "unauthenticated", "64 hex digits", 0},
		{"both, hmac mode: a wrong signature with another organization's key", w.keyA, w.signX, orgH, "ok", "", orgA},
		{"both, api_key mode: the signature is ignored", w.keyA, w.signA, orgA, "ok", "", orgA},
		{"both, api_key mode: a wrong signature is ignored", w.keyA, w.signX, orgA, "ok", "", orgA},
		{"both, api_key mode: a malformed signature is ignored", w.keyA, w.junk, orgA, "ok", "", orgA},
		{"both, api_key mode: a revoked key is not saved by the signature", w.revokedA, w.signA, orgA, "unauthenticated", "of the key beside it: the API key is revoked", 0},
		{"both, api_key mode: key without scope ingest", w.narrowA, w.signA, orgA, "forbidden", "lacks the scope ingest", orgA},
		{"both, unknown organization: the key goes on to its mismatch", w.keyA, w.signA, orgX, "ok", "", orgA},
		{"both, unknown organization, revoked key", w.revokedA, w.signA, orgX, "unauthenticated", "revoked", 0},
		{"both, unknown organization, key of one in hmac mode", w.keyH, w.signH, orgX, "unauthenticated", "is in hmac mode", 0},
		{"both, no organization in the body: the key goes on to its 400", w.keyA, w.signA, noBodyOrg, "ok", "", orgA},
		{"both, api_key mode: another organization's key goes on to its mismatch", w.keyB, w.signA, orgA, "ok", "", orgB},
	} {
		t.Run(c.claim, func(t *testing.T) {
			got, err := w.send(t, c.authorization, c.signature, c.org)
			if outcome(err) != c.want || !strings.Contains(message(err), c.says) {
				t.Fatalf("got %s, %v; want %s with %q", outcome(err), err, c.want, c.says)
			}
			if got.Org != c.principal {
				t.Errorf("principal of organization %d, want %d", got.Org, c.principal)
			}
			if err == nil && !got.Scopes.Has(auth.Ingest) {
				t.Errorf("principal %+v cannot ingest", got)
			}
			if err == nil && got.Mode == auth.ModeHMAC && got.Scopes != auth.Scopes(auth.Ingest) {
				t.Errorf("a signature gives the scopes %s", got.Scopes)
			}
		})
	}
}

// Whatever a stranger, or another organization's key, sends: the answer must not
// tell which organizations exist, nor in which mode they are.
func TestWebhookAnswersDoNotTellWhichOrganizationsExist(t *testing.T) {
	w := newWebhooks(t)
	for _, authorization := range []string{"", "Basic x", "Bearer x", w.revokedA, w.keyA, w.narrowA} {
		for _, signature := range []string{"", w.junk, w.signX, w.gone} {
			wantWho, wantErr := w.send(t, authorization, signature, orgX)
			for _, org := range []leadevents.OrgID{orgB, orgH} {
				who, err := w.send(t, authorization, signature, org)
				if who != wantWho || outcome(err) != outcome(wantErr) || message(err) != message(wantErr) {
					t.Errorf("Authorization %.14q, signature %.12q:\n an unknown organization: %v %v\n organization %d: %v %v",
						authorization, signature, wantWho, wantErr, org, who, err)
				}
			}
		}
	}
}

func TestTheBodyIsNotReadForItsOrganizationWithoutASignature(t *testing.T) {
	w := newWebhooks(t)
	for _, authorization := range []string{"", w.keyA, w.revokedA} {
		_, _ = w.Webhook(t.Context(), auth.Webhook{Authorization: authorization, Organization: func() (leadevents.OrgID, bool) {
			t.Error("the body was read")
			return 0, false
		}})
	}
}

func TestEveryByteOfTheBodyIsSigned(t *testing.T) {
	w := newWebhooks(t)
	if _, err := w.send(t, "", w.signH, orgH); err != nil {
		t.Fatal(err)
	}
	original := bytes.Clone(w.body)
	for i := range original {
		w.body = bytes.Clone(original)
		w.body[i] ^= 0x20
		if _, err := w.send(t, "", w.signH, orgH); outcome(err) != "unauthenticated" {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	for _, body := range [][]byte{nil, original[:len(original)-1], append(bytes.Clone(original), '\n')} {
		w.body = body
		if _, err := w.send(t, "", w.signH, orgH); outcome(err) != "unauthenticated" {
			t.Errorf("body %q: %v", body, err)
		}
	}
	w.body = original
	for _, header := range []string{strings.ToUpper(w.signH[7:]), w.signH[7:], strings.ToUpper(w.signH)} {
		if _, err := w.send(t, "", header, orgH); outcome(err) != "unauthenticated" {
			t.Errorf("%s: %v", header, err)
		}
	}
	if _, err := w.send(t, "", "sha256="+strings.ToUpper(w.signH[7:]), orgH); err != nil {
		t.Errorf("upper-case hex: %v", err)
	}
}

// Made by `printf BODY | openssl dgst -sha256 -hmac SECRET` (OpenSSL 3.0.19).
func TestSignaturesAreOpenSSLs(t *testing.T) {
	const secret = "les_8sYd2mUoQ1vZJw5nH7kR3bTg9xCf4pLeAqNtXyWzVuKj"
	for _, c := range []struct{ claim, secret, body, want string }{
		{"the example of the contract", secret,
			`{"organizationId":42,"eventType":"mastery_purchase","events":[{"phoneE164":"+15551234567","occurredAt":"2026-05-12T18:34:00Z"}]}`,
			"de0a8db8fecf6ada0afab288358c20626926ae6ba7ca6e3fd708ff120ca3145d"},
		{"an empty body", secret, "", "b6b95bf217eba48744291100128d3b5d348944c56e8f9a67ebb92c85cbf99335"},
		{"bytes that are no text, such as gzip", secret, "\x1f\x8b\x08\x00\xff\x00\x0d\x0a", "1a5b5e003e61d9da1ebdb35a033e5192f9c72f3b5c560a071c9720e725f3eb1f"},
		{"a secret longer than a block", strings.Repeat("a", 100), "body", "8b075fa3477792ed001809b748b4c131a424f9536738dce0829d2f7ab4d8d21e"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			if got := auth.Sign(auth.NewSecret(c.secret), []byte(c.body)); got != "sha256="+c.want {
				t.Errorf("%s, openssl says %s", got, c.want)
			}
		})
	}
}
