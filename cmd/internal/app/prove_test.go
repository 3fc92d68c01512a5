package app

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"testing"
	"time"

	"leadevents"
	"leadevents/auth"
	"leadevents/configs"
)

// The organizations of the API's tests: one in each auth mode.
const (
	keyOrg  leadevents.OrgID = 42
	hmacOrg leadevents.OrgID = 43
	nextOrg leadevents.OrgID = 45
)

func bearer(key auth.Secret) func(http.Header, []byte) {
	return func(h http.Header, _ []byte) { h.Set("Authorization", "Bearer "+key.Reveal()) }
}

// signature signs as a sender in hmac mode does.
func signature(secret auth.Secret) func(http.Header, []byte) {
	return func(h http.Header, body []byte) {
		mac := hmac.New(sha256.New, []byte(secret.Reveal()))
		mac.Write(body)
		h.Set(auth.SignatureHeader, "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
}

// signatureAt signs as a sender does for an organization with replay protection.
func signatureAt(secret auth.Secret, now func() time.Time) func(http.Header, []byte) {
	return func(h http.Header, body []byte) {
		timestamp := strconv.FormatInt(now().Unix(), 10)
		mac := hmac.New(sha256.New, []byte(secret.Reveal()))
		mac.Write([]byte(timestamp + "."))
		mac.Write(body)
		h.Set(auth.TimestampHeader, timestamp)
		h.Set(auth.SignatureHeader, "v1="+hex.EncodeToString(mac.Sum(nil)))
	}
}

// prove makes the organizations and gives the sender every credential that a
// request may come with: apiKey (42), narrow (42, query alone),
// ingestOnly (42), other (43's
// key), hmac and hmacNow (43), badSignature,
// second (45, all scopes), operator, revoked, expired, malformed, none.
//
// It gives s the master key that signing keys need, and migrates.
func prove(t *testing.T, s *configs.Settings, to *sender) {
	t.Helper()
	s.MasterKey = auth.NewMasterKey()
	s.OperatorToken = auth.NewSecret("the operator's token")
	if err := Migrate(t.Context(), *s, quiet()); err != nil {
		t.Fatal(err)
	}
	credentials, err := OpenCredentials(*s, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = credentials.Close() }()
	ctx := t.Context()
	org, err := credentials.CreateOrganization(ctx, "by key", keyOrg)
	if err != nil {
		t.Fatal(err)
	}
	to.credentials["apiKey"] = bearer(org.FirstKey.Key)
	narrow, err := credentials.CreateKey(ctx, keyOrg, auth.KeyRequest{Name: "narrow", Scopes: auth.Scopes(auth.Query)})
	if err != nil {
		t.Fatal(err)
	}
	to.credentials["narrow"] = bearer(narrow.Key)
	ingestOnly, err := credentials.CreateKey(ctx, keyOrg, auth.KeyRequest{Name: "ingest only", Scopes: auth.Scopes(auth.Ingest)})
	if err != nil {
		t.Fatal(err)
	}
	to.credentials["ingestOnly"] = bearer(ingestOnly.Key)
	other, err := credentials.CreateOrganization(ctx, "by signature", hmacOrg)
	if err != nil {
		t.Fatal(err)
	}
	to.credentials["other"] = bearer(other.FirstKey.Key)
	signing, err := credentials.CreateSigningKey(ctx, hmacOrg, "first")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := credentials.SetAuthMode(ctx, hmacOrg, auth.ModeHMAC); err != nil {
		t.Fatal(err)
	}
	to.credentials["hmac"] = signature(signing.Secret)
	to.credentials["hmacNow"] = signatureAt(signing.Secret, time.Now)
	to.credentials["badSignature"] = func(h http.Header, body []byte) {
		h.Set(auth.SignatureHeader, "sha256="+hex.EncodeToString(make([]byte, sha256.Size)))
	}
	second, err := credentials.CreateOrganization(ctx, "second", nextOrg)
	if err != nil {
		t.Fatal(err)
	}
	to.credentials["second"], to.ids["firstKey"] = bearer(second.FirstKey.Key), second.FirstKey.ID
	to.credentials["operator"] = bearer(s.OperatorToken)
	short, err := credentials.CreateKey(ctx, keyOrg, auth.KeyRequest{Name: "expired", ExpiresAt: time.Now().Add(100 * time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	defer eventually(t, "the key has expired", func() bool { return time.Now().After(short.ExpiresAt) })
	to.credentials["expired"] = bearer(short.Key)
	gone, err := credentials.CreateKey(ctx, keyOrg, auth.KeyRequest{Name: "revoked"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := credentials.RevokeKey(ctx, keyOrg, gone.ID, true); err != nil {
		t.Fatal(err)
	}
	to.credentials["revoked"] = bearer(gone.Key)
	to.credentials["malformed"] = func(h http.Header, _ []byte) { h.Set("Authorization", "Bearer 12345") }
}
