package leadevents

import (
	"cmp"
	"math"
	"slices"
)

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

// Merge is the layers that a merge of some of the content's commits stands for:
// theirs, and those that they stand for themselves as long as the log has them.
func (log AudienceLog) Merge(commits []AudienceCommit) []Layer {
	var layers []Layer
	for _, c := range commits {
		layers = append(layers, c.Layer)
		for _, merged := range c.Merged {
			if slices.ContainsFunc(log, func(other AudienceCommit) bool { return other.Layer == merged }) {
				layers = append(layers, merged)
			}
		}
	}
	slices.Sort(layers)
	return slices.Compact(layers)
}

// DeadLayer is a layer that an audience has had.
type DeadLayer struct {
	Layer Layer
	Since Millis // when the audience lost it
	Head  bool   // its commit is the head still, and says so to what was made on it
	Alone bool   // there is nothing else in the log
}

// Dead is the layers that are not in the content any more.
func (log AudienceLog) Dead() []DeadLayer {
	content, _ := log.Content()
	alive := map[Layer]bool{}
	for _, c := range content {
		alive[c.Layer] = true
	}
	head := log.head()
	var dead []DeadLayer
	for i := range log {
		if c := &log[i]; !alive[c.Layer] {
			dead = append(dead, DeadLayer{Layer: c.Layer, Since: log.lost(c), Head: i == head, Alone: len(log) == 1})
		}
	}
	return dead
}

// lost is when a commit that is not in the content any more left it: with the
// first head after its own, or with the first merge that stands for it; if it
// came after those, at once.
func (log AudienceLog) lost(c *AudienceCommit) Millis {
	own := c
	if !c.isHead() {
		own = nil
		for i := range log {
			if log[i].Layer == c.Base {
				own = &log[i]
			}
		}
	}
	since := Millis(math.MaxInt64)
	for i := range log {
		other := &log[i]
		after := other.isHead() && (own == nil || own.before(other))
		if after || slices.Contains(other.Merged, c.Layer) {
			since = min(since, other.CommittedAt)
		}
	}
	if since == math.MaxInt64 { // a deleted head
		return c.CommittedAt
	}
	return max(since, c.CommittedAt)
}
