package credentials

import (
	"context"
	"maps"
	"slices"
	"sync"

	"leadevents"
	"leadevents/audit"
	"leadevents/auth"
)

// Memory is an auth.Store in memory. Before may be set, before the store is used
// by several goroutines, to fail or delay calls: it is given the method's name,
// runs without the lock, and its error is the call's.
type Memory struct {
	Before func(ctx context.Context, method string) error

	mu     sync.Mutex
	stamp  uint64
	orgs   map[[2]uint64]auth.Organization // by id and claim
	keys   map[id]auth.APIKey
	signs  map[id]auth.SigningKey
	limits map[limit]auth.OrganizationLimit
	uses   map[id]auth.Use
	data   map[string]auth.DataKey
	counts map[string]int
	audit  []audit.Entry
}

type id struct {
	org leadevents.OrgID
	key string
}

type limit struct {
	org   leadevents.OrgID
	limit leadevents.Limit
}

var _ auth.Store = (*Memory)(nil)

// NewMemory is an empty store.
func NewMemory() *Memory {
	return &Memory{
		orgs: map[[2]uint64]auth.Organization{}, keys: map[id]auth.APIKey{},
		signs: map[id]auth.SigningKey{}, limits: map[limit]auth.OrganizationLimit{}, uses: map[id]auth.Use{}, counts: map[string]int{},
		data: map[string]auth.DataKey{},
	}
}

// Calls is how often a method was called.
func (m *Memory) Calls(method string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts[method]
}

// enter counts the call, asks Before, and takes the lock.
func (m *Memory) enter(ctx context.Context, method string) (leave func(), err error) {
	m.mu.Lock()
	m.counts[method]++
	m.mu.Unlock()
	if m.Before != nil {
		if err := m.Before(ctx, method); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	return m.mu.Unlock, nil
}

// Stamp counts the writes.
func (m *Memory) Stamp(ctx context.Context) (uint64, error) {
	leave, err := m.enter(ctx, "Stamp")
	if err != nil {
		return 0, err
	}
	defer leave()
	return m.stamp, nil
}

// LoadAll reads everything.
func (m *Memory) LoadAll(ctx context.Context) (auth.Records, error) {
	leave, err := m.enter(ctx, "LoadAll")
	if err != nil {
		return auth.Records{}, err
	}
	defer leave()
	return m.records(func(leadevents.OrgID) bool { return true }), nil
}

// Load reads one organization.
func (m *Memory) Load(ctx context.Context, org leadevents.OrgID) (auth.Records, error) {
	leave, err := m.enter(ctx, "Load")
	if err != nil {
		return auth.Records{}, err
	}
	defer leave()
	return m.records(func(o leadevents.OrgID) bool { return o == org }), nil
}

func (m *Memory) records(wanted func(leadevents.OrgID) bool) auth.Records {
	return auth.Records{
		Organizations: slices.DeleteFunc(slices.Collect(maps.Values(m.orgs)), func(o auth.Organization) bool { return o.Withdrawn || !wanted(o.ID) }),
		APIKeys:       slices.DeleteFunc(slices.Collect(maps.Values(m.keys)), func(k auth.APIKey) bool { return !wanted(k.Org) }),
		SigningKeys:   slices.DeleteFunc(slices.Collect(maps.Values(m.signs)), func(k auth.SigningKey) bool { return !wanted(k.Org) }),
		Limits:        slices.DeleteFunc(slices.Collect(maps.Values(m.limits)), func(l auth.OrganizationLimit) bool { return !wanted(l.Org) }),
	}
}

// AppendAudit adds an entry.
func (m *Memory) AppendAudit(ctx context.Context, _ leadevents.OrgID, e audit.Entry) error {
	leave, err := m.enter(ctx, "AppendAudit")
	if err != nil {
		return err
	}
	defer leave()
	m.audit = append(m.audit, e)
	return nil
}

// Audit is what was added, in that order.
func (m *Memory) Audit() []audit.Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.audit)
}

// PutOrganization writes an organization.
func (m *Memory) PutOrganization(ctx context.Context, o auth.Organization) error {
	leave, err := m.enter(ctx, "PutOrganization")
	if err != nil {
		return err
	}
	defer leave()
	m.stamp++
	at := [2]uint64{uint64(o.ID), o.Claim}
	if o.Version >= m.orgs[at].Version {
		m.orgs[at] = o
	}
	return nil
}

// PutAPIKey writes an API key's record.
func (m *Memory) PutAPIKey(ctx context.Context, k auth.APIKey) error {
	leave, err := m.enter(ctx, "PutAPIKey")
	if err != nil {
		return err
	}
	defer leave()
	m.stamp++
	if at := (id{k.Org, k.ID}); k.Version >= m.keys[at].Version {
		m.keys[at] = k
	}
	return nil
}

// PutSigningKey writes a signing key's record.
func (m *Memory) PutSigningKey(ctx context.Context, k auth.SigningKey) error {
	leave, err := m.enter(ctx, "PutSigningKey")
	if err != nil {
		return err
	}
	defer leave()
	m.stamp++
	if at := (id{k.Org, k.ID}); k.Version >= m.signs[at].Version {
		m.signs[at] = k
	}
	return nil
}

// PutLimits writes limits.
func (m *Memory) PutLimits(ctx context.Context, limits []auth.OrganizationLimit) error {
	leave, err := m.enter(ctx, "PutLimits")
	if err != nil {
		return err
	}
	defer leave()
	m.stamp++
	for _, l := range limits {
		if at := (limit{l.Org, l.Limit}); l.Version >= m.limits[at].Version {
			m.limits[at] = l
		}
	}
	return nil
}

// DataKeys reads the server's own keys.
func (m *Memory) DataKeys(ctx context.Context) ([]auth.DataKey, error) {
	leave, err := m.enter(ctx, "DataKeys")
	if err != nil {
		return nil, err
	}
	defer leave()
	return slices.Collect(maps.Values(m.data)), nil
}

// PutDataKey writes one of them.
func (m *Memory) PutDataKey(ctx context.Context, k auth.DataKey) error {
	leave, err := m.enter(ctx, "PutDataKey")
	if err != nil {
		return err
	}
	defer leave()
	if k.Version >= m.data[k.ID].Version {
		m.data[k.ID] = k
	}
	return nil
}

// AddUses adds use counts.
func (m *Memory) AddUses(ctx context.Context, uses []auth.Use) error {
	leave, err := m.enter(ctx, "AddUses")
	if err != nil {
		return err
	}
	defer leave()
	for _, u := range uses {
		sum := m.uses[id{u.Org, u.KeyID}]
		u.Uses += sum.Uses
		if sum.LastUsedAt.After(u.LastUsedAt) {
			u.LastUsedAt = sum.LastUsedAt
		}
		m.uses[id{u.Org, u.KeyID}] = u
	}
	return nil
}

// Uses reads the use counts of one organization.
func (m *Memory) Uses(ctx context.Context, org leadevents.OrgID) ([]auth.Use, error) {
	leave, err := m.enter(ctx, "Uses")
	if err != nil {
		return nil, err
	}
	defer leave()
	return slices.DeleteFunc(slices.Collect(maps.Values(m.uses)), func(u auth.Use) bool { return u.Org != org }), nil
}
