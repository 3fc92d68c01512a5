package auth

import (
	"context"
	"time"

	"leadevents"
	"leadevents/audit"
)

// Store keeps organizations and credentials. Writes are durable and visible to
// the next read, from any process, when they return without an error; after an
// error they may or may not have happened, and writing the same record again is
// safe. Of two writes of one record the higher Version holds.
type Store interface {
	// Whatever changes a credential or a setting is in the audit log before.
	audit.Store

	// Stamp is a number that differs after any write of an organization, an API
	// key, a signing key or a limit (and may differ without one). It is cheap.
	Stamp(ctx context.Context) (uint64, error)
	// LoadAll reads every organization and credential, revoked ones included,
	// withdrawn claims excluded.
	LoadAll(ctx context.Context) (Records, error)
	// Load is LoadAll for one organization.
	Load(ctx context.Context, org leadevents.OrgID) (Records, error)

	PutOrganization(ctx context.Context, o Organization) error
	PutAPIKey(ctx context.Context, k APIKey) error
	PutSigningKey(ctx context.Context, k SigningKey) error
	// PutLimits writes limits of one organization, all of them or none.
	PutLimits(ctx context.Context, limits []OrganizationLimit) error

	// DataKeys reads the server's own keys; they are no part of Stamp and Records, since
	// a request is not judged by them.
	DataKeys(ctx context.Context) ([]DataKey, error)
	PutDataKey(ctx context.Context, k DataKey) error

	// AddUses adds to the use counts and moves the last uses forward.
	AddUses(ctx context.Context, uses []Use) error
	// Uses reads them for one organization.
	Uses(ctx context.Context, org leadevents.OrgID) ([]Use, error)
}

// Records is what a Store holds, in no particular order. LastUsedAt and Uses of
// the keys are not filled. During a race to create it, or after a crash in one,
// an organization may appear more than once, each with its own Claim.
type Records struct {
	Organizations []Organization
	APIKeys       []APIKey
	SigningKeys   []SigningKey
	Limits        []OrganizationLimit
}

// Use is how often a key was used (a difference for AddUses, a sum from Uses)
// and when last.
type Use struct {
	Org        leadevents.OrgID
	KeyID      string
	LastUsedAt time.Time // ms
	Uses       uint64
}
