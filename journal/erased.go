package journal

import (
	"context"
	"crypto/aes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"

	"leadevents"
	"leadevents/internal/snapshot"
)

// ReasonErased is why a row is rejected that names an erased lead.
const ReasonErased = "erased phoneE164"

// Erased knows which leads are erased, of all organizations. It is safe for concurrent
// use.
type Erased struct {
	store Store
	keys  DataKeys
	view  *snapshot.Snapshot[erasedView]
}

// NewErased makes it; nothing is read yet.
func NewErased(cfg snapshot.Config, store Store, keys DataKeys) *Erased {
	e := &Erased{store: store, keys: keys}
	e.view = snapshot.New(cfg, e.load)
	return e
}

// Notify says that a lead may have been erased or allowed, here or elsewhere.
func (e *Erased) Notify() { e.view.Notify() }

// Probe is for asking whether leads of an organization are erased; nil where none is. It
// belongs to one goroutine. What was erased two seconds ago is known; where that cannot be
// said, the error is a 503.
func (e *Erased) Probe(ctx context.Context, org leadevents.OrgID) (*Probe, error) {
	view, err := e.view.Get(ctx)
	if err != nil {
		return nil, leadevents.Wrap(leadevents.Unavailable, err, "it cannot be told at the moment which leads are erased; send the same request again")
	}
	leads := view.orgs[org]
	if leads == nil || len(leads.byKey) == 0 {
		return nil, nil
	}
	return &Probe{org: org, byKey: leads.byKey}, nil
}

// erasedView is never changed once it is published.
type erasedView struct {
	orgs map[leadevents.OrgID]*erasedLeads
	keys map[string]*Key
}

type erasedLeads struct {
	stamp uint64
	byKey []erasedUnder
}

// erasedUnder is the leads whose hashes are under one data key; there is one, but for
// two processes that made the first at the same moment.
type erasedUnder struct {
	key *Key
	// sums by sieve, and those beyond the first where sieves are equal: one pair in
	// 10^7 sets of a million.
	sums map[uint64][sha256.Size]byte
	more map[uint64][][sha256.Size]byte
}

// load reads anew what has changed: of 50 bytes a lead, all of one organization.
func (e *Erased) load(ctx context.Context, old *erasedView) (*erasedView, error) {
	stamps, err := e.store.ErasedStamps(ctx)
	if err != nil {
		return nil, err
	}
	if old == nil {
		old = &erasedView{}
	}
	same := len(stamps) == len(old.orgs)
	for org, stamp := range stamps {
		same = same && old.orgs[org] != nil && old.orgs[org].stamp == stamp
	}
	if same {
		return old, nil
	}
	next := &erasedView{orgs: make(map[leadevents.OrgID]*erasedLeads, len(stamps)), keys: old.keys}
	for org, stamp := range stamps {
		if known := old.orgs[org]; known != nil && known.stamp == stamp {
			next.orgs[org] = known
			continue
		}
		hashes, err := e.store.ErasedHashes(ctx, org)
		if err != nil {
			return nil, err
		}
		leads, err := e.under(ctx, next, hashes)
		if err != nil {
			return nil, fmt.Errorf("read the erased leads of organization %d: %w", org, err)
		}
		leads.stamp = stamp
		next.orgs[org] = leads
	}
	return next, nil
}

// under sorts hashes by their keys.
func (e *Erased) under(ctx context.Context, v *erasedView, hashes []Hash) (*erasedLeads, error) {
	leads, at := &erasedLeads{}, map[string]int{}
	for _, h := range hashes {
		i, ok := at[h.KeyID]
		if !ok {
			if v.keys[h.KeyID] == nil {
				keys, err := e.allKeys(ctx)
				if err != nil {
					return nil, err
				}
				v.keys = keys
			}
			key := v.keys[h.KeyID]
			if key == nil {
				return nil, fmt.Errorf("there is no data key %q", h.KeyID)
			}
			i, at[h.KeyID] = len(leads.byKey), len(leads.byKey)
			leads.byKey = append(leads.byKey, erasedUnder{key: key, sums: make(map[uint64][sha256.Size]byte, len(hashes))})
		}
		u := &leads.byKey[i]
		if first, taken := u.sums[h.Sieve]; !taken {
			u.sums[h.Sieve] = h.Sum
		} else if first != h.Sum {
			if u.more == nil {
				u.more = map[uint64][][sha256.Size]byte{}
			}
			u.more[h.Sieve] = append(u.more[h.Sieve], h.Sum)
		}
	}
	return leads, nil
}

func (e *Erased) allKeys(ctx context.Context) (map[string]*Key, error) {
	plain, err := e.keys.DataKeys(ctx)
	if err != nil {
		return nil, err
	}
	keys := make(map[string]*Key, len(plain))
	for _, p := range plain {
		if keys[p.ID], err = NewKey(p.ID, p.Key); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// Probe asks about leads, one after the other.
type Probe struct {
	org     leadevents.OrgID
	byKey   []erasedUnder
	in, out [aes.BlockSize]byte
}

// Has tells whether a lead is erased; a nil probe has none.
func (p *Probe) Has(phone leadevents.Phone) bool {
	if p == nil {
		return false
	}
	put(p.in[:], p.org, phone)
	for i := range p.byKey {
		u := &p.byKey[i]
		u.key.sieve.Encrypt(p.out[:], p.in[:])
		sieve := binary.BigEndian.Uint64(p.out[:])
		first, hit := u.sums[sieve]
		if !hit {
			continue
		}
		sum := u.key.sum(p.in[:])
		if subtle.ConstantTimeCompare(sum[:], first[:]) == 1 {
			return true
		}
		for _, other := range u.more[sieve] {
			if subtle.ConstantTimeCompare(sum[:], other[:]) == 1 {
				return true
			}
		}
	}
	return false
}
