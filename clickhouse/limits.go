package clickhouse

import (
	"context"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/auth"
)

// loadLimits reads the limits of one organization (0: everyone's).
func (c *Credentials) loadLimits(ctx context.Context, org leadevents.OrgID) (all []auth.OrganizationLimit, err error) {
	err = c.read(ctx, "credentials_limits", org, func(rows driver.Rows) error {
		var id, version uint64
		var name string
		var value int64
		if err := rows.Scan(&id, &name, &value, &version); err != nil {
			return err
		}
		limit, known := leadevents.ParseLimit(name)
		if !known {
			return fmt.Errorf("organization_limits.limit_name is %q, which this server does not know", name)
		}
		all = append(all, auth.OrganizationLimit{Org: leadevents.OrgID(id), Limit: limit, Value: int(value), Version: version})
		return nil
	})
	return all, err
}

// PutLimits writes limits, in one block: all of them or none.
func (c *Credentials) PutLimits(ctx context.Context, limits []auth.OrganizationLimit) error {
	return c.insert(ctx, "INSERT INTO organization_limits (organization_id, limit_name, value, version)", len(limits),
		func(b driver.Batch, i int) error {
			l := limits[i]
			return b.Append(uint64(l.Org), l.Limit.String(), int64(l.Value), l.Version)
		})
}
