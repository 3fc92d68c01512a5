package auth

import (
	"cmp"
	"slices"
	"time"

	"leadevents"
)

// view is everything a check needs, looked up by what a request brings. It is
// never changed once it is published.
type view struct {
	orgs map[leadevents.OrgID]*orgEntry
	keys map[[32]byte]*keyEntry // by SHA-256 of the key
	// unreadable is how many active signing keys could not be decrypted. While
	// there are any, a signature that nothing proves is "cannot tell" (503) for
	// every organization alike, so that the answer does not tell which exist.
	unreadable int
}

type orgEntry struct {
	id    leadevents.OrgID
	mode  Mode
	claim Organization
	// tolerance is how far a timestamp may lie from the clock where signatures must
	// have one; zero where they need not.
	tolerance time.Duration
	signing   signers
	limits    *leadevents.Limits // nil: none
}

type keyEntry struct {
	id        string
	org       *orgEntry
	scopes    Scopes
	expiresAt time.Time
	revoked   bool
	use       *useCount
}

type signingEntry struct {
	id     string
	secret []byte
	use    *useCount
}

// build makes a view of what the store holds.
func (d *Directory) build(r Records) *view {
	v := &view{
		orgs: make(map[leadevents.OrgID]*orgEntry, len(r.Organizations)),
		keys: make(map[[32]byte]*keyEntry, len(r.APIKeys)),
	}
	limits := d.limitsByOrg(r.Limits)
	for _, o := range r.Organizations {
		if known, ok := v.orgs[o.ID]; ok && !olderClaim(o, known.claim) {
			continue
		}
		v.orgs[o.ID] = &orgEntry{id: o.ID, mode: o.AuthMode, claim: o, tolerance: o.ReplayTolerance, limits: limits(o.ID)}
	}
	// A credential whose organization is not there is nobody's: left out.
	for _, k := range r.APIKeys {
		org, ok := v.orgs[k.Org]
		if !ok {
			continue
		}
		v.keys[k.SHA256] = &keyEntry{
			id: k.ID, org: org, scopes: k.Scopes, expiresAt: k.ExpiresAt,
			revoked: !k.RevokedAt.IsZero(), // whatever its time says: no clock delays a revocation
			use:     d.uses.of(k.Org, k.ID),
		}
	}
	// Newest first: during a rotation that is the one in use.
	slices.SortFunc(r.SigningKeys, func(a, b SigningKey) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	for _, k := range r.SigningKeys {
		org, ok := v.orgs[k.Org]
		if !ok || !k.Active() {
			continue
		}
		secret, err := d.cfg.MasterKeys.open(k)
		if err != nil {
			v.unreadable++
			d.log.Error("a signing key cannot be decrypted, so its signatures get 503: give the server the right master key, or revoke the key",
				"organization", uint64(k.Org), "signingKey", k.ID, "reason", err)
			continue
		}
		org.signing.keys = append(org.signing.keys, &signingEntry{id: k.ID, secret: secret, use: d.uses.of(k.Org, k.ID)})
	}
	d.metrics.keys.Set(float64(len(v.keys)))
	d.metrics.unreadable.Set(float64(v.unreadable))
	return v
}

// olderClaim orders the claims on one organization id, the same way in every
// process. Only a crash in the middle of a race leaves two.
func olderClaim(a, b Organization) bool {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.Claim, b.Claim)) < 0
}
