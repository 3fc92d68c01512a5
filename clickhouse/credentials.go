package clickhouse

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/auth"
)

// Credentials keeps organizations, API keys and signing keys (auth.Store). Give
// it a pool of its own: the directory asks twice a second whether anything has
// changed, and refuses requests when that question waits behind their inserts.
type Credentials struct{ db *DB }

var _ auth.Store = (*Credentials)(nil)

// Credentials is the credential store in this database.
func (db *DB) Credentials() *Credentials { return &Credentials{db} }

// Stamp is a number that changes with every write: sql/credentials_stamp.sql.
func (c *Credentials) Stamp(ctx context.Context) (uint64, error) {
	var stamp uint64
	if err := c.db.conn.QueryRow(ctx, sqlText("credentials_stamp")).Scan(&stamp); err != nil {
		return 0, unavailable(fmt.Errorf("read the stamp of credentials: %w", err))
	}
	return stamp, nil
}

// LoadAll reads every organization and credential.
func (c *Credentials) LoadAll(ctx context.Context) (auth.Records, error) { return c.load(ctx, 0) }

// Load reads those of one organization.
func (c *Credentials) Load(ctx context.Context, org leadevents.OrgID) (auth.Records, error) {
	if org == 0 {
		return auth.Records{}, nil // no organization has this id, and in the documents it means every one
	}
	return c.load(ctx, org)
}

func (c *Credentials) load(ctx context.Context, org leadevents.OrgID) (r auth.Records, err error) {
	err = c.read(ctx, "credentials_organizations", org, func(rows driver.Rows) error {
		var o auth.Organization
		var id uint64
		var mode string
		var tolerance uint32
		if err := rows.Scan(&id, &o.Claim, &o.Name, &mode, &tolerance, &o.CreatedAt, &o.Version); err != nil {
			return err
		}
		o.ReplayTolerance = time.Duration(tolerance) * time.Second
		o.ID, o.CreatedAt = leadevents.OrgID(id), stored(o.CreatedAt)
		o.AuthMode, err = auth.ParseMode(mode)
		r.Organizations = append(r.Organizations, o)
		return err
	})
	if err != nil {
		return auth.Records{}, err
	}
	err = c.read(ctx, "credentials_api_keys", org, func(rows driver.Rows) error {
		var k auth.APIKey
		var id uint64
		var sum string
		var scopes []string
		if err := rows.Scan(&id, &k.ID, &k.Name, &sum, &scopes, &k.CreatedAt, &k.ExpiresAt, &k.RevokedAt, &k.Version); err != nil {
			return err
		}
		k.Org = leadevents.OrgID(id)
		k.CreatedAt, k.ExpiresAt, k.RevokedAt = stored(k.CreatedAt), stored(k.ExpiresAt), stored(k.RevokedAt)
		// The length first: Decode writes as many bytes as it is given digits.
		if len(sum) != hex.EncodedLen(len(k.SHA256)) {
			return fmt.Errorf("api_keys.sha256 of key %s is not 64 hex digits", k.ID)
		}
		if _, err := hex.Decode(k.SHA256[:], []byte(sum)); err != nil {
			return fmt.Errorf("api_keys.sha256 of key %s is not 64 hex digits", k.ID)
		}
		k.Scopes, err = auth.ParseScopes(scopes)
		r.APIKeys = append(r.APIKeys, k)
		return err
	})
	if err != nil {
		return auth.Records{}, err
	}
	err = c.read(ctx, "credentials_signing_keys", org, func(rows driver.Rows) error {
		var k auth.SigningKey
		var id uint64
		if err := rows.Scan(&id, &k.ID, &k.Name, &k.Sealed, &k.MasterKeyID, &k.CreatedAt, &k.RevokedAt, &k.Version); err != nil {
			return err
		}
		k.Org = leadevents.OrgID(id)
		k.CreatedAt, k.RevokedAt = stored(k.CreatedAt), stored(k.RevokedAt)
		r.SigningKeys = append(r.SigningKeys, k)
		return nil
	})
	if err != nil {
		return auth.Records{}, err
	}
	if r.Limits, err = c.loadLimits(ctx, org); err != nil {
		return auth.Records{}, err
	}
	return r, nil
}

// Uses reads when and how often an organization's keys were used.
func (c *Credentials) Uses(ctx context.Context, org leadevents.OrgID) ([]auth.Use, error) {
	var uses []auth.Use
	err := c.read(ctx, "credentials_uses", org, func(rows driver.Rows) error {
		u := auth.Use{Org: org}
		err := rows.Scan(&u.KeyID, &u.LastUsedAt, &u.Uses)
		u.LastUsedAt = stored(u.LastUsedAt)
		uses = append(uses, u)
		return err
	})
	return uses, err
}

// read runs a document over one organization's rows (0: everyone's).
func (c *Credentials) read(ctx context.Context, document string, org leadevents.OrgID, scan func(driver.Rows) error) error {
	ctx = params(ctx, clickhouse.Parameters{"organization": strconv.FormatUint(uint64(org), 10)})
	rows, err := c.db.conn.Query(ctx, sqlText(document))
	if err != nil {
		return unavailable(fmt.Errorf("run %s: %w", document, err))
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			// Wrapped, so that an unreadable record is "unavailable" too: what
			// cannot be read must not be left out.
			return leadevents.Wrap(leadevents.Unavailable, err, "a stored credential cannot be read (%s)", document)
		}
	}
	return unavailable(rows.Err())
}

// PutOrganization writes an organization.
func (c *Credentials) PutOrganization(ctx context.Context, o auth.Organization) error {
	return c.insert(ctx, "INSERT INTO organizations (organization_id, claim, name, auth_mode, replay_tolerance, created_at, withdrawn, version)", 1,
		func(b driver.Batch, _ int) error {
			return b.Append(uint64(o.ID), o.Claim, o.Name, string(o.AuthMode), uint32(o.ReplayTolerance/time.Second), toStore(o.CreatedAt), o.Withdrawn, o.Version)
		})
}

// PutAPIKey writes an API key's record.
func (c *Credentials) PutAPIKey(ctx context.Context, k auth.APIKey) error {
	return c.insert(ctx, "INSERT INTO api_keys (organization_id, id, name, sha256, scopes, created_at, expires_at, revoked_at, version)", 1,
		func(b driver.Batch, _ int) error {
			return b.Append(uint64(k.Org), k.ID, k.Name, hex.EncodeToString(k.SHA256[:]), k.Scopes.Names(),
				toStore(k.CreatedAt), toStore(k.ExpiresAt), toStore(k.RevokedAt), k.Version)
		})
}

// PutSigningKey writes a signing key's record.
func (c *Credentials) PutSigningKey(ctx context.Context, k auth.SigningKey) error {
	return c.insert(ctx, "INSERT INTO signing_keys (organization_id, id, name, sealed, master_key_id, created_at, revoked_at, version)", 1,
		func(b driver.Batch, _ int) error {
			return b.Append(uint64(k.Org), k.ID, k.Name, k.Sealed, k.MasterKeyID, toStore(k.CreatedAt), toStore(k.RevokedAt), k.Version)
		})
}

// DataKeys reads the server's own keys.
func (c *Credentials) DataKeys(ctx context.Context) ([]auth.DataKey, error) {
	var all []auth.DataKey
	err := c.read(ctx, "credentials_data_keys", 0, func(rows driver.Rows) error {
		var k auth.DataKey
		err := rows.Scan(&k.ID, &k.Sealed, &k.MasterKeyID, &k.CreatedAt, &k.Version)
		k.CreatedAt = stored(k.CreatedAt)
		all = append(all, k)
		return err
	})
	return all, err
}

// PutDataKey writes one of them.
func (c *Credentials) PutDataKey(ctx context.Context, k auth.DataKey) error {
	return c.insert(ctx, "INSERT INTO data_keys (id, sealed, master_key_id, created_at, version)", 1,
		func(b driver.Batch, _ int) error {
			return b.Append(k.ID, k.Sealed, k.MasterKeyID, toStore(k.CreatedAt), k.Version)
		})
}

// AddUses adds use counts.
func (c *Credentials) AddUses(ctx context.Context, uses []auth.Use) error {
	return c.insert(ctx, "INSERT INTO key_uses (organization_id, key_id, last_used_at, uses)", len(uses),
		func(b driver.Batch, i int) error {
			u := uses[i]
			return b.Append(uint64(u.Org), u.KeyID, toStore(u.LastUsedAt), u.Uses)
		})
}

func (c *Credentials) insert(ctx context.Context, statement string, rows int, row func(b driver.Batch, i int) error) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"async_insert": 0,
		// Equal blocks are not one block: two counts of the same uses add up.
		"insert_deduplicate": 0,
	}))
	batch, err := c.db.batch(ctx, statement)
	if err != nil {
		return unavailable(fmt.Errorf("prepare %q: %w", statement, err))
	}
	for i := range rows {
		if err := row(batch, i); err != nil {
			_ = batch.Abort()
			return fmt.Errorf("append a row for %q: %w", statement, err)
		}
	}
	if err := batch.Send(); err != nil {
		return unavailable(fmt.Errorf("send %q: %w", statement, err))
	}
	return nil
}

// The tables have no NULL: the start of 1970 is Go's zero time.
var never = time.Unix(0, 0).UTC()

func toStore(t time.Time) time.Time {
	if t.IsZero() {
		return never
	}
	return t.UTC()
}

func stored(t time.Time) time.Time {
	if t.Equal(never) {
		return time.Time{}
	}
	return t.UTC()
}
