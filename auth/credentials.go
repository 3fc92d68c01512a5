package auth

import (
	"fmt"
	"strings"
	"time"

	"leadevents"
)

// Scope is one thing an API key may do.
type Scope uint8

// The scopes of API.md 0.
const (
	Ingest    Scope = 1 << iota // webhooks
	Campaigns                   // audiences and sends
	Query                       // events, reports, SQL, previews
	Admin                       // settings, keys, erase, undo
)

var scopeNames = []struct {
	scope Scope
	name  string
}{{Ingest, "ingest"}, {Campaigns, "campaigns"}, {Query, "query"}, {Admin, "admin"}}

// String is the scope's name in the contract.
func (s Scope) String() string { return Scopes(s).String() }

// Scopes is a set of scopes.
type Scopes uint8

// DefaultScopes is what a key gets that names none; AllScopes is what the first
// key of an organization gets.
const (
	DefaultScopes = Scopes(Ingest | Campaigns | Query)
	AllScopes     = DefaultScopes | Scopes(Admin)
)

// Has tells whether the set holds scope.
func (s Scopes) Has(scope Scope) bool { return s&Scopes(scope) != 0 }

// Names lists the scopes by name, in the order of the contract; never nil.
func (s Scopes) Names() []string {
	names := make([]string, 0, len(scopeNames))
	for _, n := range scopeNames {
		if s.Has(n.scope) {
			names = append(names, n.name)
		}
	}
	return names
}

// String is the names, comma-separated; "none" of an empty set.
func (s Scopes) String() string {
	if s == 0 {
		return "none"
	}
	return strings.Join(s.Names(), ",")
}

// ParseScopes reads scope names; repeats are one. An unknown name is an error,
// no names are an empty set.
func ParseScopes(names []string) (Scopes, error) {
	var set Scopes
next:
	for _, name := range names {
		for _, n := range scopeNames {
			if n.name == name {
				set |= Scopes(n.scope)
				continue next
			}
		}
		return 0, leadevents.Errorf(leadevents.InvalidRequest,
			"scopes holds %q: the scopes are %s", cut(name, 40), strings.Join(AllScopes.Names(), ", "))
	}
	return set, nil
}

// Mode is how an organization's webhooks prove who sent them, one at a time.
type Mode string

// The modes of API.md 1.
const (
	ModeAPIKey Mode = "api_key" // Authorization: Bearer, the default
	ModeHMAC   Mode = "hmac"    // X-Setter-Signature over the raw body
)

// ParseMode reads a mode's name.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case ModeAPIKey, ModeHMAC:
		return m, nil
	}
	return "", leadevents.Errorf(leadevents.InvalidRequest, "authMode is %q: api_key or hmac was expected", cut(s, 40))
}

// Organization is one customer of the store; everything else belongs to one.
type Organization struct {
	ID        leadevents.OrgID
	Name      string
	AuthMode  Mode
	CreatedAt time.Time // ms, UTC
	// ReplayTolerance, whole seconds, is how far the timestamp of a signature may lie
	// from the server's clock; zero: signatures need no timestamp.
	ReplayTolerance time.Duration

	// Claim tells two processes apart that create the same ID at the same time;
	// a withdrawn claim is as if it had never been made. See CreateOrganization.
	Claim     uint64
	Withdrawn bool
	// Version orders the writes of one record: the highest one holds.
	Version uint64
}

// APIKey is what is kept of an API key; the key itself is not.
type APIKey struct {
	ID        string // random, unique; part of the key
	Org       leadevents.OrgID
	Name      string
	SHA256    [32]byte // of the whole key
	Scopes    Scopes
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	RevokedAt time.Time // zero: not revoked
	Version   uint64

	// Filled by lists only: at most FlushInterval behind for the uses of other
	// processes. Uses is a statistic, not an exact count.
	LastUsedAt   time.Time // zero: never used
	Uses         uint64
	SafeToRevoke bool // active no longer, or not used for Config.UnusedAfter; never the last that is needed
}

// Prefix is the beginning of the key: enough to recognize it, and nothing of
// its 256 secret bits.
func (k APIKey) Prefix() string { return keyPrefix + k.ID }

// Active tells whether the key is accepted at now.
func (k APIKey) Active(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}

// SigningKey is an organization's secret for signing webhooks, encrypted.
type SigningKey struct {
	ID          string
	Org         leadevents.OrgID
	Name        string
	Sealed      string // the secret under the master key; empty once revoked
	MasterKeyID string // which master key sealed it
	CreatedAt   time.Time
	RevokedAt   time.Time // zero: active
	Version     uint64

	LastUsedAt   time.Time // as for APIKey
	Uses         uint64
	SafeToRevoke bool
}

// Active tells whether signatures of this key are accepted.
func (k SigningKey) Active() bool { return k.RevokedAt.IsZero() }

// Principal is who is calling: the organization, and by which credential.
type Principal struct {
	Org    leadevents.OrgID
	Mode   Mode   // how it was proved
	KeyID  string // of the API key or the signing key
	Scopes Scopes
	Limits *leadevents.Limits // of the organization; nil without any
}

// String names the organization and the credential's id, for logs.
func (p Principal) String() string {
	return fmt.Sprintf("organization %d by %s %s", p.Org, p.Mode, p.KeyID)
}

// CheckOrganization refuses a body that names another organization than the
// caller's (403 organization_mismatch). It says nothing about the other one.
func (p Principal) CheckOrganization(org leadevents.OrgID) error {
	if org == p.Org {
		return nil
	}
	return leadevents.Errorf(leadevents.OrganizationMismatch,
		"organizationId is %d, but the credential belongs to organization %d", org, p.Org)
}

// cut shortens what a client sent for an error message.
func cut(s string, n int) string {
	runes := 0
	for i := range s {
		if runes == n {
			return s[:i] + "…"
		}
		runes++
	}
	return s
}
