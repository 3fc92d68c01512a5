package auth

import (
	"slices"
	"time"
)

// unused tells whether a key that was made and last used then (zero: never) has
// not been used for UnusedAfter: whoever still has it would have shown by now. A
// key that is younger proves nothing yet. What is known of uses is FlushInterval
// old, which days do not notice.
func (d *Directory) unused(created, lastUsed time.Time) bool {
	if lastUsed.After(created) {
		created = lastUsed
	}
	return d.now().Sub(created) >= d.cfg.UnusedAfter
}

// keySafe tells whether nobody would miss the key: it has expired, or is unused
// and not the one that the organization is administered with.
func (d *Directory) keySafe(k APIKey, all []APIKey) bool {
	switch {
	case !k.RevokedAt.IsZero():
		return false // there is nothing left to revoke
	case !k.Active(d.now()):
		return true
	}
	return d.unused(k.CreatedAt, k.LastUsedAt) && !lastAdmin(k, all, d.now())
}

// signingKeySafe is keySafe for a signing key: the last one in hmac mode is the
// one without which all webhooks are refused.
func (d *Directory) signingKeySafe(k SigningKey, o Organization, all []SigningKey) bool {
	return k.Active() && d.unused(k.CreatedAt, k.LastUsedAt) && !lastSigner(k, o, all)
}

// lastAdmin tells whether no other key administers the organization over HTTP.
func lastAdmin(k APIKey, all []APIKey, now time.Time) bool {
	administers := func(k APIKey) bool { return k.Active(now) && k.Scopes.Has(Admin) }
	return administers(k) && !slices.ContainsFunc(all, func(other APIKey) bool { return other.ID != k.ID && administers(other) })
}

// lastSigner tells whether the organization's webhooks need a signature and no
// other key makes one.
func lastSigner(k SigningKey, o Organization, all []SigningKey) bool {
	return o.AuthMode == ModeHMAC && !slices.ContainsFunc(all, func(other SigningKey) bool { return other.ID != k.ID && other.Active() })
}
