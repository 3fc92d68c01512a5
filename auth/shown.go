package auth

import (
	"fmt"
	"time"

	"leadevents"
)

// The JSON of API.md 6: what is shown of organizations and credentials, the same
// over HTTP and on the command line. What follows from New… holds a secret and is
// meant for one answer: never log it.

// ShownOrganization is one of a list.
type ShownOrganization struct {
	OrganizationID leadevents.OrgID `json:"organizationId"`
	Name           string           `json:"name"`
	AuthMode       Mode             `json:"authMode"`
	CreatedAt      string           `json:"createdAt"`
	// ReplayToleranceSeconds is how far the timestamp of a signature may lie from the
	// server's clock; 0: signatures need none.
	ReplayToleranceSeconds int64 `json:"replayToleranceSeconds"`
}

// Show is what a list tells of an organization.
func (o Organization) Show() ShownOrganization {
	return ShownOrganization{o.ID, o.Name, o.AuthMode, o.CreatedAt.Format(leadevents.TimeFormat), seconds(o.ReplayTolerance)}
}

// CreatedOrganization is a new organization with its first key.
type CreatedOrganization struct {
	ShownOrganization
	APIKey struct {
		ID     string   `json:"id"`
		Key    string   `json:"key"`
		Prefix string   `json:"prefix"`
		Scopes []string `json:"scopes"`
	} `json:"apiKey"`
}

// Reveal is the answer to the creation, the only one with the key.
func (o NewOrganization) Reveal() CreatedOrganization {
	c := CreatedOrganization{ShownOrganization: o.Show()}
	c.APIKey.ID, c.APIKey.Key = o.FirstKey.ID, o.FirstKey.Key.Reveal()
	c.APIKey.Prefix, c.APIKey.Scopes = o.FirstKey.Prefix(), o.FirstKey.Scopes.Names()
	return c
}

// ShownKey is an API key without the key.
type ShownKey struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Prefix     string   `json:"prefix"`
	Scopes     []string `json:"scopes"`
	CreatedAt  string   `json:"createdAt"`
	ExpiresAt  *string  `json:"expiresAt"`  // null: never
	LastUsedAt *string  `json:"lastUsedAt"` // null: never
	RevokedAt  *string  `json:"revokedAt"`  // null: not revoked
	// Uses is a statistic, at most FlushInterval behind. SafeToRevoke is that nobody
	// would miss it: see Config.UnusedAfter.
	Uses         uint64 `json:"uses"`
	SafeToRevoke bool   `json:"safeToRevoke"`
}

// Show is what a list tells of an API key.
func (k APIKey) Show() ShownKey {
	return ShownKey{
		ID: k.ID, Name: k.Name, Prefix: k.Prefix(), Scopes: k.Scopes.Names(),
		CreatedAt: k.CreatedAt.Format(leadevents.TimeFormat),
		ExpiresAt: shownTime(k.ExpiresAt), LastUsedAt: shownTime(k.LastUsedAt), RevokedAt: shownTime(k.RevokedAt),
		Uses: k.Uses, SafeToRevoke: k.SafeToRevoke,
	}
}

// CreatedKey is a new API key.
type CreatedKey struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Prefix    string   `json:"prefix"`
	Key       string   `json:"key"`
	Scopes    []string `json:"scopes"`
	CreatedAt string   `json:"createdAt"`
	ExpiresAt *string  `json:"expiresAt"`
}

// Reveal is the answer to the creation, the only one with the key.
func (k NewAPIKey) Reveal() CreatedKey {
	s := k.Show()
	return CreatedKey{s.ID, s.Name, s.Prefix, k.Key.Reveal(), s.Scopes, s.CreatedAt, s.ExpiresAt}
}

// ShownSigningKey is a signing key without its secret.
type ShownSigningKey struct {
	ID           string  `json:"id"`
	Name         string  `json:"name"`
	CreatedAt    string  `json:"createdAt"`
	LastUsedAt   *string `json:"lastUsedAt"`
	RevokedAt    *string `json:"revokedAt"`
	Uses         uint64  `json:"uses"`
	SafeToRevoke bool    `json:"safeToRevoke"`
}

// Show is what a list tells of a signing key.
func (k SigningKey) Show() ShownSigningKey {
	return ShownSigningKey{k.ID, k.Name, k.CreatedAt.Format(leadevents.TimeFormat), shownTime(k.LastUsedAt), shownTime(k.RevokedAt), k.Uses, k.SafeToRevoke}
}

// CreatedSigningKey is a new signing key.
type CreatedSigningKey struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Secret    string `json:"secret"`
	CreatedAt string `json:"createdAt"`
}

// Reveal is the answer to the creation, the only one with the secret.
func (k NewSigningKey) Reveal() CreatedSigningKey {
	return CreatedSigningKey{k.ID, k.Name, k.Secret.Reveal(), k.CreatedAt.Format(leadevents.TimeFormat)}
}

// Revocation is the answer to the end of a key.
type Revocation struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	RevokedAt string `json:"revokedAt"`
	// Warning is what else has ended with it, in a sentence.
	Warning string `json:"warning,omitempty"`
}

// ShowRevocation is the answer to the key's revocation.
func (k APIKey) ShowRevocation() Revocation {
	return Revocation{ID: k.ID, Name: k.Name, RevokedAt: k.RevokedAt.Format(leadevents.TimeFormat)}
}

// ShowRevocation is the answer to the key's revocation; silenced as
// RevokeSigningKey tells.
func (k SigningKey) ShowRevocation(silenced bool) Revocation {
	r := Revocation{ID: k.ID, Name: k.Name, RevokedAt: k.RevokedAt.Format(leadevents.TimeFormat)}
	if silenced {
		r.Warning = fmt.Sprintf("organization %d is in hmac mode and has no active signing key any more: its webhooks are refused until one is made or its mode is api_key", k.Org)
	}
	return r
}

func shownTime(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.UTC().Format(leadevents.TimeFormat)
	return &text
}
