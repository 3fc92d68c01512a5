package auth_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leadevents"
	"leadevents/auth"
)

// Made by `printf '%s.%s' TIMESTAMP BODY | openssl dgst -sha256 -hmac SECRET`
// (OpenSSL 3.0.19).
func TestSignaturesWithATimestampAreOpenSSLs(t *testing.T) {
	secret := auth.NewSecret("les_8sYd2mUoQ1vZJw5nH7kR3bTg9xCf4pLeAqNtXyWzVuKj")
	at := time.Date(2026, 5, 12, 18, 34, 0, 999e6, time.UTC)
	for _, c := range []struct{ claim, body, want string }{
		{"the example of the contract",
			`{"organizationId":42,"eventType":"mastery_purchase","events":[{"phoneE164":"+15551234567","occurredAt":"2026-05-12T18:34:00Z"}]}`,
			"eb455e41a57ae55f1eee5afd43bf616429c041d3f864b388e1f86e2d85e4e649"},
		{"an empty body", "", "ff821de525438b443ecd34f826fe193b04f74fdfcc651123d441c2df81fa4830"},
		{"bytes that are no text, such as gzip", "\x1f\x8b\x08\x00\xff\x00\x0d\x0a", "65b00b542806a273bbec55c984f24fbc17ffbd22c6276dc4a91e0b8da98d9931"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			if timestamp, got := auth.SignAt(secret, at, []byte(c.body)); timestamp != "1778610840" || got != "v1="+c.want {
				t.Errorf("%s at %s, openssl says %s", got, timestamp, c.want)
			}
		})
	}
}

// replays is organizations with and without replay protection, and a signing key of
// each.
type replays struct {
	*process
	body    []byte
	secrets map[leadevents.OrgID]auth.Secret
}

const (
	plainOrg, strictOrg, narrowOrg, modeOrg leadevents.OrgID = 11, 12, 13, 14 // off, 60 s, 10 s, 60 s in api_key mode
)

func newReplays(t *testing.T) *replays {
	r := &replays{
		process: started(t, auth.Config{MasterKeys: masterKeys(t)}),
		body:    []byte(`{"organizationId":11,"events":[]}`), secrets: map[leadevents.OrgID]auth.Secret{},
	}
	for org, tolerance := range map[leadevents.OrgID]time.Duration{plainOrg: 0, strictOrg: time.Minute, narrowOrg: auth.MinReplayTolerance, modeOrg: time.Minute} {
		r.organization(t, org)
		r.secrets[org] = r.signingKey(t, org).Secret
		mode := auth.ModeHMAC
		if org == modeOrg {
			mode = auth.ModeAPIKey
		}
		if _, err := r.SetWebhooks(t.Context(), org, auth.WebhookSettings{AuthMode: mode, ReplayTolerance: &tolerance}); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// signed is a webhook of an organization, signed at a moment.
func (r *replays) signed(org leadevents.OrgID, at time.Time) auth.Webhook {
	w := auth.Webhook{Body: r.body, Organization: func() (leadevents.OrgID, bool) { return org, true }}
	w.Timestamp, w.Signature = auth.SignAt(r.secrets[org], at, r.body)
	return w
}

func TestReplayProtection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock stands still between two waits
		r := newReplays(t)
		time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
		now := time.Now()
		plain := func(org leadevents.OrgID) auth.Webhook {
			w := r.signed(org, now)
			w.Timestamp, w.Signature = "", auth.Sign(r.secrets[org], r.body)
			return w
		}
		with := func(w auth.Webhook, change func(*auth.Webhook)) auth.Webhook { change(&w); return w }
		timestamp := func(text string) auth.Webhook {
			return with(r.signed(strictOrg, now), func(w *auth.Webhook) { w.Timestamp = text })
		}
		for _, c := range []struct {
			claim string
			w     auth.Webhook
			says  string // of a 401; empty: accepted
		}{
			{"off: the plain scheme", plain(plainOrg), ""},
			{"off: the plain scheme beside a timestamp of any sort", with(plain(plainOrg), func(w *auth.Webhook) { w.Timestamp = "long ago" }), ""},
			{"off: v1", r.signed(plainOrg, now), ""},
			{"off: v1, as old as the default", r.signed(plainOrg, now.Add(-5*time.Minute)), ""},
			{"off: v1, older", r.signed(plainOrg, now.Add(-301*time.Second)), "301 s before the server's clock, and organization 11 tolerates 300 s"},
			{"off: v1, as far ahead as the default", r.signed(plainOrg, now.Add(5*time.Minute)), ""},
			{"off: v1, further ahead", r.signed(plainOrg, now.Add(301*time.Second)), "301 s ahead of the server's clock, and organization 11 tolerates 300 s"},

			{"on: the plain scheme", plain(strictOrg), "has replay protection and accepts none without a timestamp: send X-Setter-Signature: v1=…"},
			{"on: the plain scheme beside the right timestamp", with(plain(strictOrg), func(w *auth.Webhook) { w.Timestamp = fmt.Sprint(now.Unix()) }), "at most 60 s from the server's clock"},
			{"on: v1", r.signed(strictOrg, now), ""},
			{"on: v1, as old as is tolerated", r.signed(strictOrg, now.Add(-time.Minute)), ""},
			{"on: v1, older", r.signed(strictOrg, now.Add(-61*time.Second)), "61 s before the server's clock, and organization 12 tolerates 60 s: sign again"},
			{"on: v1, as far ahead as is tolerated", r.signed(strictOrg, now.Add(time.Minute)), ""},
			{"on: v1, further ahead", r.signed(strictOrg, now.Add(61*time.Second)), "61 s ahead of the server's clock, and organization 12 tolerates 60 s: set the sender's clock"},
			{"on: v1, a year old", r.signed(strictOrg, now.AddDate(-1, 0, 0)), "tolerates 60 s"},
			{"on: v1, of 1970", r.signed(strictOrg, time.Unix(0, 0)), "tolerates 60 s"},
			{"on: v1, of the year 5138", r.signed(strictOrg, time.Unix(99_999_999_999, 0)), "ahead of the server's clock, and organization 12 tolerates 60 s"},
			{"another tolerance is another organization's", r.signed(narrowOrg, now.Add(-11*time.Second)), "organization 13 tolerates 10 s"},

			{"no timestamp", timestamp(""), "X-Setter-Timestamp is missing: a v1 signature is over it"},
			{"milliseconds", timestamp("1778610840123"), "has 13 digits, as milliseconds have"},
			{"a fraction", timestamp(fmt.Sprint(now.Unix()) + ".0"), "whole seconds since 1970"},
			{"a sign", timestamp("+" + fmt.Sprint(now.Unix())), "300 s unless it has set another"},
			{"a negative one", timestamp("-1"), `X-Setter-Timestamp is "-1"`},
			{"RFC 3339", timestamp("2026-05-12T18:34:00Z"), "whole seconds since 1970"},
			{"space around", timestamp(" " + fmt.Sprint(now.Unix())), "whole seconds since 1970"},
			{"digits of another alphabet", timestamp("١٧٧٨٦١٠٨٤٠"), "whole seconds since 1970"},
			{"another timestamp than was signed", timestamp(fmt.Sprint(now.Unix() + 1)), "does not prove"},
			{"the same number in other digits than were signed", timestamp("0" + fmt.Sprint(now.Unix())), "does not prove"},
			{"a changed byte in the body", with(r.signed(strictOrg, now), func(w *auth.Webhook) { w.Body = []byte(`{"organizationId":11,"events":{}}`) }), "does not prove"},
			{"the plain signature under the name of v1", with(plain(strictOrg), func(w *auth.Webhook) {
				w.Timestamp, w.Signature = fmt.Sprint(now.Unix()), strings.Replace(w.Signature, "sha256=", "v1=", 1)
			}), "does not prove"},
			{"v1 under the name of the plain scheme", with(r.signed(plainOrg, now), func(w *auth.Webhook) {
				w.Signature = strings.Replace(w.Signature, "v1=", "sha256=", 1)
			}), "does not prove"},
			{"the digits cut elsewhere", with(r.signed(strictOrg, now), func(w *auth.Webhook) {
				w.Timestamp, w.Body = w.Timestamp[:9], []byte(w.Timestamp[9:]+"."+string(w.Body))
			}), "does not prove"},
			{"another organization's key", with(r.signed(plainOrg, now), func(w *auth.Webhook) {
				w.Organization = func() (leadevents.OrgID, bool) { return strictOrg, true }
			}), "does not prove"},
			{"api_key mode: right, and in time, and no credential there", r.signed(modeOrg, now), "does not prove"},
		} {
			_, err := r.Webhook(t.Context(), c.w)
			switch {
			case c.says == "" && err != nil:
				t.Errorf("%s: %v", c.claim, err)
			case c.says != "" && (outcome(err) != "unauthenticated" || !strings.Contains(message(err), c.says)):
				t.Errorf("%s: %v; want a 401 with %q", c.claim, err, c.says)
			}
		}

		// What is captured is good until the tolerance ends, and not a moment longer.
		signedAt := time.Now().Truncate(time.Second)
		captured := r.signed(strictOrg, signedAt)
		for range 2 {
			if _, err := r.Webhook(t.Context(), captured); err != nil {
				t.Errorf("within the tolerance: %v", err)
			}
		}
		time.Sleep(time.Until(signedAt.Add(61*time.Second - time.Nanosecond)))
		if _, err := r.Webhook(t.Context(), captured); err != nil {
			t.Errorf("in the last second of the tolerance: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if _, err := r.Webhook(t.Context(), captured); outcome(err) != "unauthenticated" {
			t.Errorf("beyond the tolerance: %v", err)
		}
	})
}

// The settings of one process hold in another, and only a holder of the secret learns
// of them.
func TestReplayProtectionIsTurnedOnAndOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplays(t)
		there := newProcess(t, r.store, auth.Config{MasterKeys: masterKeys(t)})
		there.run(t)
		accepts := func(w auth.Webhook) bool { _, err := there.Webhook(t.Context(), w); return err == nil }
		plain := r.signed(plainOrg, time.Now())
		plain.Timestamp, plain.Signature = "", auth.Sign(r.secrets[plainOrg], r.body)
		set := func(s auth.WebhookSettings) auth.Organization {
			t.Helper()
			o, err := r.SetWebhooks(t.Context(), plainOrg, s)
			if err != nil {
				t.Fatal(err)
			}
			return o
		}
		until(t, func() bool { return accepts(plain) })
		tolerance, off := 30*time.Second, time.Duration(0)
		if o := set(auth.WebhookSettings{AuthMode: auth.ModeHMAC, ReplayTolerance: &tolerance}); o.ReplayTolerance != tolerance {
			t.Errorf("%+v", o)
		}
		if waited := until(t, func() bool { return !accepts(plain) }); waited > 2*time.Second {
			t.Errorf("the other process accepted the plain scheme for %s", waited)
		}
		// The mode alone leaves the tolerance, also on the way through api_key.
		for _, mode := range []auth.Mode{auth.ModeHMAC, auth.ModeAPIKey, auth.ModeHMAC} {
			if o := set(auth.WebhookSettings{AuthMode: mode}); o.ReplayTolerance != tolerance || o.AuthMode != mode {
				t.Errorf("%s: %+v", mode, o)
			}
		}
		if o := set(auth.WebhookSettings{AuthMode: auth.ModeHMAC, ReplayTolerance: &off}); o.ReplayTolerance != 0 {
			t.Errorf("%+v", o)
		}
		// Accepted at once: what a process refuses it looks up.
		if !accepts(plain) {
			t.Error("the protection is off, and the other process refuses the plain scheme")
		}
		for _, wrong := range []time.Duration{-time.Second, time.Second, 9 * time.Second, 10*time.Second + time.Millisecond, time.Hour + time.Second} {
			_, err := r.SetWebhooks(t.Context(), plainOrg, auth.WebhookSettings{AuthMode: auth.ModeHMAC, ReplayTolerance: &wrong})
			if outcome(err) != "invalid_request" || !strings.Contains(message(err), "10 to 3600") {
				t.Errorf("%s: %v", wrong, err)
			}
		}
	})
}

// Whoever has not signed gets the same answer, whatever the organization's settings
// are and whether it exists.
func TestReplayProtectionIsToldToSignersAlone(t *testing.T) {
	r := newReplays(t)
	forged := map[string]auth.Webhook{}
	for _, at := range []time.Time{time.Now(), time.Now().Add(-time.Hour)} {
		timestamp, signature := auth.SignAt(auth.NewSecret("les_unknown"), at, r.body)
		forged["v1 of "+timestamp] = auth.Webhook{Timestamp: timestamp, Signature: signature}
	}
	forged["plain"] = auth.Webhook{Signature: auth.Sign(auth.NewSecret("les_unknown"), r.body)}
	forged["no timestamp"] = auth.Webhook{Signature: "v1=" + strings.Repeat("0", 64)}
	for name, w := range forged {
		w.Body = r.body
		answer := func(org leadevents.OrgID) string {
			w.Organization = func() (leadevents.OrgID, bool) { return org, true }
			_, err := r.Webhook(t.Context(), w)
			return outcome(err) + " " + message(err)
		}
		unknown := answer(99)
		for _, org := range []leadevents.OrgID{plainOrg, strictOrg, narrowOrg, modeOrg} {
			if got := answer(org); got != unknown {
				t.Errorf("%s: of an unknown organization %q, of %d %q", name, unknown, org, got)
			}
		}
	}
}
