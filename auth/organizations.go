package auth

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"leadevents"
	"leadevents/audit"
)

// NewOrganization is a created organization with its first key, which has every
// scope and is shown this once.
type NewOrganization struct {
	Organization
	FirstKey NewAPIKey
}

// maxOrgID is the largest id that all JSON readers keep exactly (2^53 − 1).
const maxOrgID = leadevents.OrgID(1<<53 - 1)

// CreateOrganization makes an organization in api_key mode and its first key. An
// id of zero takes the number after the highest; an id that is taken is a 409.
//
// ClickHouse has no unique keys, so two processes that create one id at the same
// time are told apart in three steps, each visible to all before the next:
//
//  1. write a row with a random claim of our own;
//  2. read all claims on the id: the later of two readers sees both, so of two
//     creators at most one finds itself alone;
//  3. not alone: withdraw our claim, and it is a 409 (for both, if both saw both).
//
// The first key is made last: the loser of a race never makes a key for the
// winner's organization. A crash before that leaves an organization without a
// key: `leadevents key create` makes one.
func (d *Directory) CreateOrganization(ctx context.Context, name string, id leadevents.OrgID) (NewOrganization, error) {
	if err := checkName("name", name); err != nil {
		return NewOrganization{}, err
	}
	if id > maxOrgID {
		return NewOrganization{}, leadevents.Errorf(leadevents.InvalidRequest, "organizationId is %d, at most %d (2^53 − 1) is allowed", id, maxOrgID)
	}
	d.admin.Lock()
	defer d.admin.Unlock()

	o, err := d.claim(ctx, name, id)
	for range 4 {
		// Nobody asked for this very id: whoever lost a race for it takes another,
		// after a wait that tells two losers of one race apart.
		if id != 0 || leadevents.KindOf(err) != leadevents.Conflict || !sleep(ctx, rand.N(retryGap)) {
			break
		}
		o, err = d.claim(ctx, name, id)
	}
	if err != nil {
		return NewOrganization{}, err
	}
	key, err := d.createKey(ctx, o, KeyRequest{Name: "first key", Scopes: AllScopes})
	if err != nil {
		return NewOrganization{}, err
	}
	return NewOrganization{Organization: o, FirstKey: key}, nil
}

func (d *Directory) claim(ctx context.Context, name string, id leadevents.OrgID) (Organization, error) {
	all, err := d.loadAll(ctx)
	if err != nil {
		return Organization{}, err
	}
	if id == 0 {
		var highest leadevents.OrgID
		for _, o := range all.Organizations {
			highest = max(highest, o.ID)
		}
		if id = highest + 1; id > maxOrgID {
			return Organization{}, leadevents.Errorf(leadevents.InvalidRequest, "organizationId is missing, and there is no number after the highest (%d): give one", highest)
		}
	} else if slices.ContainsFunc(all.Organizations, func(o Organization) bool { return o.ID == id }) {
		return Organization{}, leadevents.Errorf(leadevents.Conflict, "organization %d exists already", id)
	}

	o := Organization{
		ID: id, Name: name, AuthMode: ModeAPIKey, CreatedAt: d.moment(),
		Claim: rand.Uint64(), Version: d.version(0),
	}
	// The name is told when the organization is this one: it may turn out to be
	// another's, whose log tells of its own.
	act := audit.Act{Action: audit.OrganizationCreate, Object: id.String()}
	err = d.audit.Do(ctx, id, act, func(ctx context.Context, detail audit.Detail) error {
		if err := d.putClaim(ctx, o); err != nil {
			return err
		}
		detail["name"] = name
		return nil
	})
	if err != nil {
		return Organization{}, err
	}
	return o, nil
}

// putClaim writes a claim, which is withdrawn unless it is the only one.
func (d *Directory) putClaim(ctx context.Context, o Organization) error {
	put := func(ctx context.Context) error { return d.store.PutOrganization(ctx, o) }
	if err := d.put(ctx, "the organization", put); err != nil { // step 1
		return err
	}
	readCtx, cancel := context.WithTimeout(ctx, loadTimeout)
	r, err := d.store.Load(readCtx, o.ID) // step 2
	cancel()
	if err == nil && len(r.Organizations) == 1 && r.Organizations[0].Claim == o.Claim {
		return nil // alone
	}
	// Step 3. We may be here because ctx has ended; the claim goes all the same.
	o.Withdrawn, o.Version = true, d.version(o.Version)
	if werr := d.put(context.WithoutCancel(ctx), "the organization", put); werr != nil {
		return werr
	}
	if err != nil {
		return cannotRead(err)
	}
	return leadevents.Errorf(leadevents.Conflict, "organization %d is being created by another process at this moment", o.ID)
}

// Organizations lists all, by id.
func (d *Directory) Organizations(ctx context.Context) ([]Organization, error) {
	r, err := d.loadAll(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(r.Organizations, func(a, b Organization) int {
		if a.ID == b.ID && olderClaim(a, b) {
			return -1
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return slices.CompactFunc(r.Organizations, func(a, b Organization) bool { return a.ID == b.ID }), nil
}

// Organization reads one; an unknown id is a 404.
func (d *Directory) Organization(ctx context.Context, id leadevents.OrgID) (Organization, error) {
	o, _, err := d.load(ctx, id)
	return o, err
}

// SetAuthMode changes how an organization's webhooks prove themselves, and nothing
// else: see SetWebhooks.
func (d *Directory) SetAuthMode(ctx context.Context, org leadevents.OrgID, mode Mode) (Organization, error) {
	return d.SetWebhooks(ctx, org, WebhookSettings{AuthMode: mode})
}

// WebhookSettings is how an organization's webhooks prove themselves.
type WebhookSettings struct {
	AuthMode Mode
	// ReplayTolerance, if given, is that of the organization from now on: 0 for off.
	// It counts in hmac mode, and stays what it is through the other one.
	ReplayTolerance *time.Duration
}

func (s WebhookSettings) check() error {
	if _, err := ParseMode(string(s.AuthMode)); err != nil {
		return err
	}
	if s.ReplayTolerance != nil {
		return checkReplayTolerance(*s.ReplayTolerance)
	}
	return nil
}

// SetWebhooks changes how an organization's webhooks prove themselves. hmac is
// refused (409) while there is no active signing key that this server can read:
// it would lock everybody out.
func (d *Directory) SetWebhooks(ctx context.Context, org leadevents.OrgID, s WebhookSettings) (Organization, error) {
	if err := s.check(); err != nil {
		return Organization{}, err
	}
	d.admin.Lock()
	defer d.admin.Unlock()
	o, r, err := d.load(ctx, org)
	if err != nil {
		return o, err
	}
	changed := o
	changed.AuthMode = s.AuthMode
	if s.ReplayTolerance != nil {
		changed.ReplayTolerance = *s.ReplayTolerance
	}
	if changed == o {
		return o, nil
	}
	if s.AuthMode == ModeHMAC && o.AuthMode != ModeHMAC {
		if err := d.checkSigns(o, r.SigningKeys); err != nil {
			return Organization{}, err
		}
	}
	detail := audit.Detail{"authMode": changed.AuthMode, "before": o.AuthMode}
	if changed.ReplayTolerance != o.ReplayTolerance {
		detail["replayToleranceSeconds"], detail["replayToleranceSecondsBefore"] = int(changed.ReplayTolerance.Seconds()), int(o.ReplayTolerance.Seconds())
	}
	changed.Version = d.version(o.Version)
	act := audit.Act{Action: audit.WebhooksUpdate, Object: org.String(), Detail: detail}
	err = d.write(ctx, org, act, "the settings of webhooks", func(ctx context.Context) error { return d.store.PutOrganization(ctx, changed) })
	return changed, err
}

func (d *Directory) checkSigns(o Organization, keys []SigningKey) error {
	var unreadable error
	for _, k := range keys {
		if !k.Active() {
			continue
		}
		if _, err := d.cfg.MasterKeys.open(k); err != nil {
			unreadable = err
			continue
		}
		return nil
	}
	if unreadable != nil {
		return leadevents.Wrap(leadevents.Conflict, unreadable, "organization %d cannot be switched to hmac: this server cannot decrypt its signing keys; check the setting master_key, or create a signing key", o.ID)
	}
	return leadevents.Errorf(leadevents.Conflict, "organization %d cannot be switched to hmac: it has no active signing key, so every webhook would be refused; create a signing key first", o.ID)
}
