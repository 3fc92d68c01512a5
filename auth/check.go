package auth

import (
	"context"
	"errors"
	"time"

	"leadevents"
)

// Key checks the Authorization header of a request that needs scope: every
// endpoint but webhooks and the operator's. The errors are 401 unauthenticated
// (no key, malformed, mistyped, unknown, revoked, expired), 403 forbidden (the
// scope is missing: the principal is told all the same) and 503 unavailable (credentials cannot be loaded).
func (d *Directory) Key(ctx context.Context, authorization string, scope Scope) (Principal, error) {
	k, err := d.authenticate(ctx, authorization)
	if err != nil {
		return Principal{}, err
	}
	return d.allow(k, scope)
}

// Webhook is what a webhook brings to prove who sent it.
type Webhook struct {
	Authorization string // the header, "" if absent
	Signature     string // the X-Setter-Signature header, "" if absent
	Timestamp     string // the X-Setter-Timestamp header, "" if absent
	Body          []byte // as sent: before decompression
	// Organization looks up organizationId in the body; false if there is none.
	// It is called only when there is a signature.
	Organization func() (leadevents.OrgID, bool)
}

// Webhook checks a webhook by the mode of its organization (API.md 1).
//
// Without a signature the API key decides, and the caller then compares the
// body's organizationId with the key's ([Principal.CheckOrganization]). With a
// signature:
//
//  1. an API key of the body's organization, in api_key mode: the signature is
//     ignored;
//  2. the body's organization is in hmac mode and one of its active signing keys
//     made the signature over the raw body, in time where it has a timestamp: the
//     API key is ignored;
//  3. otherwise an API key of another organization goes on to its 403
//     organization_mismatch, and everything else is a 401.
//
// From 2 on the work and the answer are the same whether the body's organization
// is unknown, in the other mode, or has not signed: nobody learns from them which
// organizations exist. Whoever did sign, but too long ago or without the timestamp
// that the organization asks for, is told so.
func (d *Directory) Webhook(ctx context.Context, w Webhook) (Principal, error) {
	if w.Signature == "" {
		k, err := d.authenticate(ctx, w.Authorization)
		if err != nil {
			return Principal{}, err
		}
		return d.allowWebhook(k)
	}

	v, now, err := d.look(ctx)
	if err != nil {
		return Principal{}, err
	}
	id, named := w.Organization()
	var key *keyEntry
	keyErr := errNoCredential
	if w.Authorization != "" {
		key, keyErr = d.find(v, w.Authorization, now)
	}
	if key != nil && named && key.org.id == id && key.org.mode == ModeAPIKey {
		return d.allowWebhook(key)
	}

	signer, refusal := d.signer(v, now, id, named, w)
	if signer == nil && key == nil {
		// The signing key, or the mode, may be newer than the view. The same for
		// whatever is refused, so that nothing shows in the time.
		if newer, at, ok := d.fresher(ctx, v); ok {
			v, now = newer, at
			signer, refusal = d.signer(v, now, id, named, w)
		}
	}
	switch {
	case signer != nil:
		signer.use.add(now)
		return Principal{Org: id, Mode: ModeHMAC, KeyID: signer.id, Scopes: Scopes(Ingest), Limits: v.orgs[id].limits}, nil
	case key != nil && (!named || key.org.id != id):
		return d.allowWebhook(key)
	}
	_, stale := errors.AsType[*staleError](refusal)
	if v.unreadable > 0 && !stale {
		d.metrics.refusals.unavailable.Inc()
		return Principal{}, leadevents.Errorf(leadevents.Unavailable, "the signature cannot be checked at the moment: a signing key of this server cannot be decrypted")
	}
	if stale {
		d.metrics.refusals.timestamp.Inc()
	} else {
		d.metrics.refusals.signature.Inc()
	}
	if w.Authorization != "" && keyErr != nil {
		return Principal{}, leadevents.Errorf(leadevents.Unauthenticated, "%s; and of the key beside it: %s", refusal, keyErr)
	}
	return Principal{}, leadevents.Errorf(leadevents.Unauthenticated, "%s", refusal)
}

// signer is the signing key that made the signature, in time. If there is none, the
// error says so in words that depend on the request alone; if there is one, and not
// in time, it is a *staleError.
func (d *Directory) signer(v *view, now time.Time, id leadevents.OrgID, named bool, w Webhook) (*signingEntry, error) {
	signed, err := parseSignature(w.Signature, w.Timestamp)
	if err != nil {
		return nil, err
	}
	if !named {
		return nil, errors.New("the signature cannot be checked: no organizationId was found in the body")
	}
	var asked *signers
	org, ok := v.orgs[id]
	if ok && org.mode == ModeHMAC {
		asked = &org.signing
	}
	if s := asked.signedBy(d.decoy, signed, w.Body); s != nil {
		if err := org.fresh(signed, now); err != nil {
			return nil, err
		}
		return s, nil
	}
	return nil, errors.New("the signature does not prove the organization that the body names: " +
		"it is unknown, or expects an API key instead (Authorization: Bearer), or none of its active signing keys made " +
		SignatureHeader + " over the body as sent")
}

var errUnknownKey = errors.New("the API key is unknown")

var errNoCredential = errors.New("no credential was sent: Authorization: Bearer with an API key was expected")

// authenticate finds the key that the Authorization header carries. What needs
// no store to be seen is refused without one.
func (d *Directory) authenticate(ctx context.Context, authorization string) (*keyEntry, error) {
	if authorization == "" {
		d.metrics.refusals.missing.Inc()
		return nil, leadevents.Errorf(leadevents.Unauthenticated, "%s", errNoCredential)
	}
	sum, err := headerSum(authorization)
	if err == nil {
		var v *view
		var now time.Time
		if v, now, err = d.look(ctx); err != nil {
			return nil, err
		}
		var k *keyEntry
		k, err = v.key(sum, now)
		if errors.Is(err, errUnknownKey) {
			if v, now, ok := d.fresher(ctx, v); ok {
				k, err = v.key(sum, now)
			}
		}
		if err == nil {
			k.use.add(now)
			return k, nil
		}
	}
	d.metrics.refusals.key.Inc()
	return nil, leadevents.Errorf(leadevents.Unauthenticated, "%s", err)
}

// find is authenticate in a view that is already at hand.
func (d *Directory) find(v *view, authorization string, now time.Time) (*keyEntry, error) {
	sum, err := headerSum(authorization)
	if err != nil {
		return nil, err
	}
	k, err := v.key(sum, now)
	if err == nil {
		k.use.add(now)
	}
	return k, err
}

func headerSum(authorization string) ([32]byte, error) {
	key, err := bearer(authorization)
	if err != nil {
		return [32]byte{}, err
	}
	return keySum(key)
}

// key looks a key up by its SHA-256. The lookup's time may depend on the sum, but
// a sum cannot be steered towards a stored one.
func (v *view) key(sum [32]byte, now time.Time) (*keyEntry, error) {
	k, ok := v.keys[sum]
	switch {
	case !ok:
		return nil, errUnknownKey
	case k.revoked:
		return nil, errors.New("the API key is revoked")
	case !k.expiresAt.IsZero() && !now.Before(k.expiresAt):
		return nil, errors.New("the API key expired at " + k.expiresAt.Format(leadevents.TimeFormat))
	}
	return k, nil
}

// allowWebhook lets an API key in where its own organization takes API keys.
func (d *Directory) allowWebhook(k *keyEntry) (Principal, error) {
	if k.org.mode == ModeHMAC {
		d.metrics.refusals.mode.Inc()
		return Principal{}, leadevents.Errorf(leadevents.Unauthenticated,
			"organization %d is in hmac mode: its webhooks need a signature (%s: %s…), an API key is not accepted", k.org.id, SignatureHeader, signaturePrefix)
	}
	return d.allow(k, Ingest)
}

// allow asks for the scope. Who lacks it is known all the same, and limited.
func (d *Directory) allow(k *keyEntry, scope Scope) (Principal, error) {
	p := Principal{Org: k.org.id, Mode: ModeAPIKey, KeyID: k.id, Scopes: k.scopes, Limits: k.org.limits}
	if !k.scopes.Has(scope) {
		d.metrics.refusals.scope.Inc()
		return p, leadevents.Errorf(leadevents.Forbidden, "the API key lacks the scope %s (it has %s)", scope, k.scopes)
	}
	return p, nil
}
