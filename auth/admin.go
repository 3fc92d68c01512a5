package auth

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"leadevents"
	"leadevents/audit"
)

// Bounds of what an organization may have.
const (
	MaxNameLength        = 200    // characters (code points)
	MaxActiveAPIKeys     = 10_000 // an organization
	MaxActiveSigningKeys = 5      // an organization; each costs one HMAC of a body that none of them signed
)

func checkName(field, name string) error {
	switch n := utf8.RuneCountInString(name); {
	case !utf8.ValidString(name):
		return leadevents.Errorf(leadevents.InvalidRequest, "%s is not UTF-8", field)
	case strings.TrimSpace(name) == "":
		return leadevents.Errorf(leadevents.InvalidRequest, "%s is missing: 1 to %d characters were expected", field, MaxNameLength)
	case n > MaxNameLength:
		return leadevents.Errorf(leadevents.InvalidRequest, "%s has %d characters, at most %d are allowed", field, n, MaxNameLength)
	case strings.ContainsFunc(name, unicode.IsControl):
		return leadevents.Errorf(leadevents.InvalidRequest, "%s has a control character, such as a line break", field)
	}
	return nil
}

// reencryptions is how many versions a change leaves free above the version it
// changes. A rotation of the master key writes a record again with the next one; a
// revocation at the same moment knows nothing of that and must win whatever is written
// last, or a revoked key would be let in again.
const reencryptions = 1000

// version follows the version that a record has. Microseconds order the writes
// of different processes well enough, and old+reencryptions keeps the order right
// where a clock is behind: without it a revocation could lose against the key it
// revokes.
func (d *Directory) version(old uint64) uint64 {
	return max(uint64(d.now().UnixMicro()), old+reencryptions)
}

// moment is now as it is stored.
func (d *Directory) moment() time.Time { return d.now().UTC().Truncate(time.Millisecond) }

// write is put as an act of the organization's audit log, where it stands before
// anything is stored. Every change of a credential or a setting goes this way.
func (d *Directory) write(ctx context.Context, org leadevents.OrgID, act audit.Act, what string, put func(context.Context) error) error {
	return d.audit.Do(ctx, org, act, func(ctx context.Context, _ audit.Detail) error { return d.put(ctx, what, put) })
}

// put stores a record and makes every older snapshot unusable, so that the next
// request of this process sees it. A failed attempt may have been written: the
// same record again does no harm, so it is tried three times, and old snapshots
// are given up in any case.
func (d *Directory) put(ctx context.Context, what string, put func(context.Context) error) error {
	err := thrice(ctx, put)
	d.wanted.Add(1)
	d.Notify()
	if d.cfg.Announce != nil {
		d.cfg.Announce(ctx)
	}
	if err != nil {
		return leadevents.Wrap(leadevents.Unavailable, err, "%s may or may not have been stored: look at the list before trying again", what)
	}
	return nil
}

func thrice(ctx context.Context, put func(context.Context) error) (err error) {
	for range 3 {
		attempt, cancel := context.WithTimeout(ctx, writeTimeout)
		err = put(attempt)
		cancel()
		if err == nil || !sleep(ctx, retryGap) {
			break
		}
	}
	return err
}

// load reads one organization from the store itself: a change is judged by what
// holds now, not by a snapshot.
func (d *Directory) load(ctx context.Context, org leadevents.OrgID) (Organization, Records, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	r, err := d.store.Load(ctx, org)
	if err != nil {
		return Organization{}, Records{}, cannotRead(err)
	}
	if len(r.Organizations) == 0 {
		return Organization{}, Records{}, leadevents.Errorf(leadevents.NotFound, "there is no organization %d", org)
	}
	o := r.Organizations[0]
	for _, other := range r.Organizations[1:] {
		if olderClaim(other, o) {
			o = other
		}
	}
	return o, r, nil
}

func (d *Directory) loadAll(ctx context.Context) (Records, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	r, err := d.store.LoadAll(ctx)
	if err != nil {
		return Records{}, cannotRead(err)
	}
	return r, nil
}

func cannotRead(err error) error {
	return leadevents.Wrap(leadevents.Unavailable, err, "credentials cannot be read at the moment: their store does not answer")
}

// lastUses is the uses of an organization's keys by key id: what is stored, and
// what this process has not written yet.
func (d *Directory) lastUses(ctx context.Context, org leadevents.OrgID) (map[string]Use, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	stored, err := d.store.Uses(ctx, org)
	if err != nil {
		return nil, cannotRead(err)
	}
	byID := make(map[string]Use, len(stored))
	for _, u := range stored {
		byID[u.KeyID] = u
	}
	d.uses.addTo(org, byID)
	return byID, nil
}

// ParseOrgID reads an organization id as people type it.
func ParseOrgID(s string) (leadevents.OrgID, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 {
		return 0, leadevents.Errorf(leadevents.InvalidRequest, "organizationId is %q: a positive integer was expected", cut(s, 40))
	}
	return leadevents.OrgID(n), nil
}
