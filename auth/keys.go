package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"slices"
	"time"

	"leadevents"
	"leadevents/audit"
)

// KeyRequest is what an API key shall be.
type KeyRequest struct {
	Name      string
	Scopes    Scopes    // none: DefaultScopes
	ExpiresAt time.Time // zero: never; cut to milliseconds
}

// NewAPIKey is a created key; Key is the key itself, shown this once.
type NewAPIKey struct {
	APIKey
	Key Secret
}

// maxExpiry is before 2100, as every time of the contract.
var maxExpiry = leadevents.MaxOccurredAt.Time()

// keyJSON is the body of POST /api/v1/api-keys.
type keyJSON struct {
	Name      string    `json:"name"`
	Scopes    *[]string `json:"scopes"`
	ExpiresAt *string   `json:"expiresAt"`
}

// request reads it. Scopes that are left out are the default ones; an empty list
// would be a key that can do nothing, and is a mistake.
func (in *keyJSON) request(now time.Time) (r KeyRequest, err error) {
	r.Name = in.Name
	if in.Scopes != nil {
		if len(*in.Scopes) == 0 {
			return r, leadevents.Errorf(leadevents.InvalidRequest, "scopes is empty: name what the key may do, or leave the field out for %s", DefaultScopes)
		}
		if r.Scopes, err = ParseScopes(*in.Scopes); err != nil {
			return r, err
		}
	}
	if in.ExpiresAt != nil {
		at, ok := leadevents.ParseMillis([]byte(*in.ExpiresAt))
		if !ok {
			return r, leadevents.Errorf(leadevents.InvalidRequest, "expiresAt must be a time as RFC 3339 with an offset, in the future and before 2100")
		}
		r.ExpiresAt = at.Time()
	}
	return r.checked(now)
}

var errExpiry = leadevents.Errorf(leadevents.InvalidRequest, "expiresAt must lie in the future and before 2100")

// checked is the request with its defaults, if it is one.
func (r KeyRequest) checked(now time.Time) (KeyRequest, error) {
	if err := checkName("name", r.Name); err != nil {
		return r, err
	}
	if r.Scopes == 0 {
		r.Scopes = DefaultScopes
	}
	if r.Scopes&^AllScopes != 0 {
		return r, leadevents.Errorf(leadevents.InvalidRequest, "scopes holds an unknown one")
	}
	r.ExpiresAt = r.ExpiresAt.UTC().Truncate(time.Millisecond)
	if !r.ExpiresAt.IsZero() && (!r.ExpiresAt.After(now) || r.ExpiresAt.After(maxExpiry)) {
		return r, errExpiry
	}
	return r, nil
}

// CreateKey makes an API key. It works at once in this process, and in every
// other within MaxStaleness.
func (d *Directory) CreateKey(ctx context.Context, org leadevents.OrgID, r KeyRequest) (NewAPIKey, error) {
	r, err := r.checked(d.now())
	if err != nil {
		return NewAPIKey{}, err
	}
	d.admin.Lock()
	defer d.admin.Unlock()
	o, records, err := d.load(ctx, org)
	if err != nil {
		return NewAPIKey{}, err
	}
	active := 0
	for _, k := range records.APIKeys {
		if k.Active(d.now()) {
			active++
		}
	}
	if active >= MaxActiveAPIKeys {
		return NewAPIKey{}, leadevents.Errorf(leadevents.Conflict, "organization %d has %d active API keys, the most allowed: revoke one first", org, active)
	}
	return d.createKey(ctx, o, r)
}

func (d *Directory) createKey(ctx context.Context, o Organization, r KeyRequest) (NewAPIKey, error) {
	id, key := newKey()
	k := APIKey{
		ID: id, Org: o.ID, Name: r.Name, SHA256: sha256.Sum256([]byte(key.Reveal())), Scopes: r.Scopes,
		CreatedAt: d.moment(), ExpiresAt: r.ExpiresAt, Version: d.version(0),
	}
	act := audit.Act{Action: audit.APIKeyCreate, Object: k.ID, Detail: audit.Detail{"name": k.Name, "scopes": k.Scopes.Names()}}
	if at := shownTime(k.ExpiresAt); at != nil {
		act.Detail["expiresAt"] = *at
	}
	err := d.write(ctx, o.ID, act, "the API key", func(ctx context.Context) error { return d.store.PutAPIKey(ctx, k) })
	if err != nil {
		return NewAPIKey{}, err
	}
	return NewAPIKey{APIKey: k, Key: key}, nil
}

// Keys lists an organization's API keys, revoked ones too, oldest first.
func (d *Directory) Keys(ctx context.Context, org leadevents.OrgID) ([]APIKey, error) {
	_, r, err := d.load(ctx, org)
	if err != nil {
		return nil, err
	}
	uses, err := d.lastUses(ctx, org)
	if err != nil {
		return nil, err
	}
	for i := range r.APIKeys {
		k := &r.APIKeys[i]
		k.LastUsedAt, k.Uses = uses[k.ID].LastUsedAt, uses[k.ID].Uses
		k.SafeToRevoke = d.keySafe(*k, r.APIKeys)
	}
	slices.SortFunc(r.APIKeys, func(a, b APIKey) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return r.APIKeys, nil
}

// RevokeKey ends a key for good: in this process at once, everywhere within
// MaxStaleness of the return. Revoking again changes nothing. The last active
// key with scope admin is kept (409) unless force, since nobody could administer
// the organization over HTTP after it. Two processes that revoke the last two at
// the same time are not told apart; `leadevents key create` is the way back.
func (d *Directory) RevokeKey(ctx context.Context, org leadevents.OrgID, id string, force bool) (APIKey, error) {
	d.admin.Lock()
	defer d.admin.Unlock()
	_, r, err := d.load(ctx, org)
	if err != nil {
		return APIKey{}, err
	}
	i := slices.IndexFunc(r.APIKeys, func(k APIKey) bool { return k.ID == id })
	if i < 0 {
		return APIKey{}, leadevents.Errorf(leadevents.NotFound, "organization %d has no API key with the id %q", org, cut(id, 40))
	}
	k := r.APIKeys[i]
	if !k.RevokedAt.IsZero() {
		return k, nil
	}
	if !force && lastAdmin(k, r.APIKeys, d.now()) {
		return APIKey{}, leadevents.Errorf(leadevents.Conflict, "API key %s is the last active one with scope admin: create another first, or revoke it with force", id)
	}
	k.RevokedAt, k.Version = d.moment(), d.version(k.Version)
	act := audit.Act{Action: audit.APIKeyRevoke, Object: k.ID, Detail: audit.Detail{"name": k.Name, "scopes": k.Scopes.Names()}}
	if force {
		act.Detail["force"] = true
	}
	err = d.write(ctx, org, act, "the revocation", func(ctx context.Context) error { return d.store.PutAPIKey(ctx, k) })
	return k, err
}
