package auth

import (
	"cmp"
	"context"
	"slices"

	"leadevents"
	"leadevents/audit"
)

// NewSigningKey is a created signing key; Secret is shown this once.
type NewSigningKey struct {
	SigningKey
	Secret Secret
}

// CreateSigningKey makes a secret for an organization's webhooks. Several may be
// active, so that one can be replaced without a gap.
func (d *Directory) CreateSigningKey(ctx context.Context, org leadevents.OrgID, name string) (NewSigningKey, error) {
	if err := checkName("name", name); err != nil {
		return NewSigningKey{}, err
	}
	d.admin.Lock()
	defer d.admin.Unlock()
	_, r, err := d.load(ctx, org)
	if err != nil {
		return NewSigningKey{}, err
	}
	active := 0
	for _, k := range r.SigningKeys {
		if k.Active() {
			active++
		}
	}
	if active >= MaxActiveSigningKeys {
		return NewSigningKey{}, leadevents.Errorf(leadevents.Conflict, "organization %d has %d active signing keys, the most allowed: revoke one first", org, active)
	}
	id, secret := newSigningSecret()
	sealed, masterKey, err := d.cfg.MasterKeys.seal(org, id, secret)
	if err != nil {
		return NewSigningKey{}, err
	}
	k := SigningKey{
		ID: id, Org: org, Name: name, Sealed: sealed, MasterKeyID: masterKey,
		CreatedAt: d.moment(), Version: d.version(0),
	}
	act := audit.Act{Action: audit.SigningKeyCreate, Object: k.ID, Detail: audit.Detail{"name": k.Name}}
	err = d.write(ctx, org, act, "the signing key", func(ctx context.Context) error { return d.store.PutSigningKey(ctx, k) })
	if err != nil {
		return NewSigningKey{}, err
	}
	return NewSigningKey{SigningKey: k, Secret: secret}, nil
}

// SigningKeys lists an organization's signing keys, revoked ones too, oldest
// first.
func (d *Directory) SigningKeys(ctx context.Context, org leadevents.OrgID) ([]SigningKey, error) {
	o, r, err := d.load(ctx, org)
	if err != nil {
		return nil, err
	}
	uses, err := d.lastUses(ctx, org)
	if err != nil {
		return nil, err
	}
	for i := range r.SigningKeys {
		k := &r.SigningKeys[i]
		k.LastUsedAt, k.Uses = uses[k.ID].LastUsedAt, uses[k.ID].Uses
		k.SafeToRevoke = d.signingKeySafe(*k, o, r.SigningKeys)
	}
	slices.SortFunc(r.SigningKeys, func(a, b SigningKey) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return r.SigningKeys, nil
}

// RevokeSigningKey ends a signing key for good, as fast as RevokeKey, and drops
// its secret from the record. The last one of an organization in hmac mode may
// be revoked too: a leaked secret must end at once, and until another is made
// the organization's webhooks are refused, not let in: silenced tells.
func (d *Directory) RevokeSigningKey(ctx context.Context, org leadevents.OrgID, id string) (k SigningKey, silenced bool, err error) {
	d.admin.Lock()
	defer d.admin.Unlock()
	o, r, err := d.load(ctx, org)
	if err != nil {
		return SigningKey{}, false, err
	}
	i := slices.IndexFunc(r.SigningKeys, func(k SigningKey) bool { return k.ID == id })
	if i < 0 {
		return SigningKey{}, false, leadevents.Errorf(leadevents.NotFound, "organization %d has no signing key with the id %q", org, cut(id, 40))
	}
	k = r.SigningKeys[i]
	silenced = lastSigner(k, o, r.SigningKeys)
	if !k.Active() {
		return k, silenced, nil
	}
	k.RevokedAt, k.Version, k.Sealed = d.moment(), d.version(k.Version), ""
	act := audit.Act{Action: audit.SigningKeyRevoke, Object: k.ID, Detail: audit.Detail{"name": k.Name}}
	err = d.write(ctx, org, act, "the revocation", func(ctx context.Context) error { return d.store.PutSigningKey(ctx, k) })
	return k, silenced, err
}
