package leadevents

import (
	"cmp"
	"slices"
)

// Audience is a stored list of leads of one organization, as lists show it.
type Audience struct {
	ID        string // 1 to 64 of A-Z a-z 0-9 _ . -
	Leads     uint64
	CreatedAt Millis // since it exists; a replace keeps it
	ChangedAt Millis // last replaced or added to
}

// Layer identifies a part of an audience: the leads of one upload, each phone
// once, immutable. It is random and positive, of 63 bits.
type Layer = uint64

// NewLayer draws a layer's id from the system's random source.
func NewLayer() Layer { return random63() }

// AudienceCommit is one row of an audience's log: what made a layer part of it.
type AudienceCommit struct {
	Sequence uint64
	Layer    Layer
	Base     Layer   // the layer of the head it was made on; 0: of none
	Replaces bool    // the audience is this layer, whatever it was before
	Deleted  bool    // the audience is gone
	Merged   []Layer // the layers of the same head whose leads are in this one
	Leads    uint64  // of the layer

	Since       Millis // the audience exists since
	ChangedAt   Millis // the audience's last change, which a merge is not
	CommittedAt Millis // by the store's clock
}

// isHead tells the commits that begin an audience anew from additions to one.
func (c *AudienceCommit) isHead() bool { return c.Replaces || c.Deleted }

// before is the order of commits.
func (c *AudienceCommit) before(other *AudienceCommit) bool {
	return cmp.Or(cmp.Compare(c.Sequence, other.Sequence), cmp.Compare(c.Layer, other.Layer)) < 0
}

// AudienceLog is all commits of one audience that are still stored, in any order.
//
// The head is the last commit that replaces or deletes, by (sequence, layer). The
// audience is the head's layer and every addition that was made on this head,
// without the layers that a merge on this head stands for. What was made on
// another head came, in the order of things, before this one. Nothing depends on
// when a commit landed, so writers that do not know of each other lose nothing:
// at worst the layers of two additions share phones, and the first of them in
// (sequence, layer) tells the phone's externalId.
//
// A deleted head is removed from the log when nothing else is left in it; what
// is added afterwards, or was on its way, needs no head.
type AudienceLog []AudienceCommit

// head is the place of the head, -1 without one.
func (log AudienceLog) head() int {
	head := -1
	for i := range log {
		if log[i].isHead() && (head < 0 || log[head].before(&log[i])) {
			head = i
		}
	}
	return head
}

// Base is the layer that an addition made now names as its base.
func (log AudienceLog) Base() Layer {
	if head := log.head(); head >= 0 {
		return log[head].Layer
	}
	return 0
}

// Next is the sequence of a commit made now.
func (log AudienceLog) Next() uint64 {
	last := uint64(0)
	for i := range log {
		last = max(last, log[i].Sequence)
	}
	return last + 1
}

// Content is the commits whose layers are the audience now, in the order in
// which they tell a phone's externalId; false if there is no such audience.
func (log AudienceLog) Content() ([]AudienceCommit, bool) {
	live, exists := log.live()
	merged := map[Layer]bool{}
	for _, c := range live {
		for _, layer := range c.Merged {
			merged[layer] = true
		}
	}
	live = slices.DeleteFunc(live, func(c AudienceCommit) bool { return merged[c.Layer] })
	slices.SortFunc(live, func(a, b AudienceCommit) int {
		return cmp.Or(cmp.Compare(a.Sequence, b.Sequence), cmp.Compare(a.Layer, b.Layer))
	})
	return live, exists
}

// live is the head, unless it deletes, and what was made on it.
func (log AudienceLog) live() (live []AudienceCommit, exists bool) {
	head, seen := log.head(), map[Layer]bool{}
	for i := range log {
		c := log[i]
		switch {
		case seen[c.Layer]: // a commit that was sent twice
			continue
		case i == head:
			exists = exists || c.Replaces
			if c.Deleted {
				continue
			}
		case c.isHead(), head >= 0 && c.Base != log[head].Layer:
			continue
		default:
			exists = true
		}
		seen[c.Layer] = true
		live = append(live, c)
	}
	return live, exists
}

// Layers is the content's layers that have leads, in its order.
func (log AudienceLog) Layers() (layers []Layer, exists bool) {
	content, exists := log.Content()
	for _, c := range content {
		if c.Leads > 0 {
			layers = append(layers, c.Layer)
		}
	}
	return layers, exists
}

// Audience is the audience as lists show it; false if there is none. Where two
// additions met without seeing each other, a phone in both counts twice until
// the next merge.
func (log AudienceLog) Audience(id string) (Audience, bool) {
	live, exists := log.live()
	if !exists {
		return Audience{}, false
	}
	a := Audience{ID: id, CreatedAt: live[0].Since}
	for _, c := range live {
		a.CreatedAt, a.ChangedAt = min(a.CreatedAt, c.Since), max(a.ChangedAt, c.ChangedAt)
	}
	content, _ := log.Content()
	for _, c := range content {
		a.Leads += c.Leads
	}
	return a, true
}
