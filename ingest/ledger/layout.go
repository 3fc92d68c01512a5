package ledger

import (
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"leadevents"
)

// fieldBytes is a key's place in its bucket: the phone (8 bytes) and the
// milliseconds since the slot's start (4 bytes). With the bucket's name, which
// holds organization, slot and event type in clear, it is the exact key again:
// nothing is hashed into it, so nothing can collide.
const fieldBytes = 12

// layout is how keys become buckets and fields. Measured (make bench-ledger,
// bench/RESULTS.md): plain keys with SET NX GET PXAT cost 164 to 193 bytes and one
// command each; buckets cost about 30 bytes a key at 12 to 128 keys (listpack),
// 80 beyond (hash table), and the same work takes a third of the time, since one
// HMGET and one HSET serve a whole bucket. Slots of 70 minutes in 64 parts were
// smaller for thin live streams (44 to 78 bytes), but a backfill spread over five
// years left each key alone in its bucket, which saves nothing: 165 bytes. Slots
// of 18.6 hours in 8 parts stay below 85 for every load tried; wider ones keep
// live keys for days longer than they must.
//
// History is another matter: its keys stay for the short horizon whatever their slot, and a
// call of 50,000 over ten years and ten types met 50,000 buckets. So what occurred
// before the horizon when the era began (old) has the widest slots, in one part: a quarter of
// the buckets.
//
// The price: expiry is per bucket. A key may stay a slot longer than it must, and
// one beyond the horizon as long as its bucket gets new keys, which is harmless
// for the counts: presence only ever means "stored".
type layout struct {
	prefix      string // with the era
	width, bits uint
	horizon     leadevents.Millis
	old         leadevents.Millis // what occurred before lies in slots of 2^oldWidth ms; zero: nothing does
}

// oldWidth is that of the widest slots allowed (3.1 days): a key may outlive its event's retention
// by a slot, so rows have to stay for as long (package retention, "The grace").
const oldWidth = maxSlotWidth

// LongestSlot is how much longer than it must a key may stay, with slots of 2^width ms.
func LongestSlot(width uint) time.Duration {
	return time.Duration(1<<max(width, oldWidth)) * time.Millisecond
}

// slot is where the keys of a moment lie. An old one has all phones in one part.
type slot struct {
	number uint64
	width  uint
	old    bool
}

func (l layout) slotOf(at leadevents.Millis) slot {
	if at < l.old {
		return slot{uint64(at) >> oldWidth, oldWidth, true}
	}
	return slot{uint64(at) >> l.width, l.width, false}
}

// part is the share of phones within a slot that a phone is of.
func (l layout) part(s slot, phone leadevents.Phone) uint64 {
	if s.old {
		return 0
	}
	return l.sub(phone)
}

// expiry is until when the live keys of a slot must stay: all of an old one occurred before old.
func (l layout) expiry(s slot) leadevents.Millis {
	end := leadevents.Millis((s.number + 1) << s.width)
	if s.old {
		end = min(end, l.old)
	}
	return end + l.horizon
}

// bucket is a piece of one hash: the keys order[start:end] of a plan.
type bucket struct {
	name       string
	start, end int
	expiry     leadevents.Millis // its live keys must stay until here
}

// plan is the keys of one call grouped by bucket.
type plan struct {
	order   []uint32 // indexes into the caller's keys
	fields  string   // fieldBytes each, in that order
	buckets []bucket
}

// field is the i-th field in plan order.
func (p *plan) field(i int) string { return p.fields[i*fieldBytes : (i+1)*fieldBytes] }

// shared is the token that all keys of a chunk bring, or "" where they differ.
func (p *plan) shared(chunk []bucket, tokens []leadevents.BatchID) string {
	first := tokens[p.order[chunk[0].start]]
	for i := chunk[0].start; i < chunk[len(chunk)-1].end; i++ {
		if tokens[p.order[i]] != first {
			return ""
		}
	}
	return token(first)
}

// plan groups keys. Buckets stand in the order of their first key, split in
// pieces of at most most keys; the work is two passes and one map lookup a key.
func (l layout) plan(keys []leadevents.Key, most int) *plan {
	type family struct {
		org       leadevents.OrgID
		eventType string
	}
	var (
		families = map[family]uint64{}
		last     family
		lastID   uint64
		codes    = make([]uint64, len(keys))
		ordinals = make(map[uint64]int32, 256)
		which    = make([]int32, len(keys))
		counts   []int
		firsts   []int
	)
	for i := range keys {
		f := family{keys[i].Org, keys[i].EventType}
		if i == 0 || f != last {
			id, ok := families[f]
			if !ok {
				id = uint64(len(families))
				families[f] = id
			}
			last, lastID = f, id
		}
		s := l.slotOf(keys[i].OccurredAt)
		// 2^42 ms is the year 2109: a slot needs 42-10 bits at most, a sub-bucket 12.
		codes[i] = lastID<<44 | s.number<<12 | l.part(s, keys[i].Phone)
		if s.old {
			codes[i] |= 1 << 63
		}
		n, ok := ordinals[codes[i]]
		if !ok {
			n = int32(len(counts))
			ordinals[codes[i]] = n
			counts = append(counts, 0)
			firsts = append(firsts, i)
		}
		which[i] = n
		counts[n]++
	}
	p := &plan{order: make([]uint32, len(keys))}
	starts := make([]int, len(counts))
	total := 0
	for n, count := range counts {
		starts[n] = total
		first := &keys[firsts[n]]
		s := l.slotOf(first.OccurredAt)
		name, expiry := l.name(first, s), l.expiry(s)
		for from := total; from < total+count; from += most {
			p.buckets = append(p.buckets, bucket{name: name, start: from, end: min(from+most, total+count), expiry: expiry})
		}
		total += count
	}
	fields := make([]byte, len(keys)*fieldBytes)
	for i := range keys {
		at := starts[which[i]]
		starts[which[i]]++
		p.order[at] = uint32(i)
		l.putField(fields[at*fieldBytes:], &keys[i])
	}
	p.fields = string(fields)
	return p
}

func (l layout) putField(b []byte, key *leadevents.Key) {
	binary.BigEndian.PutUint64(b, uint64(key.Phone))
	binary.BigEndian.PutUint32(b[8:], uint32(uint64(key.OccurredAt)&(1<<l.slotOf(key.OccurredAt).width-1)))
}

// sub spreads phones over the buckets of a slot (the finalizer of SplitMix64:
// neighbouring numbers land apart).
func (l layout) sub(phone leadevents.Phone) uint64 {
	if l.bits == 0 {
		return 0
	}
	x := uint64(phone) + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return (x ^ x>>31) >> (64 - l.bits)
}

// name is readable, for whoever looks into Redis: prefix k era : organization :
// slot : sub-bucket : event type; an old slot has a dash before it, and one sub-bucket. The event type stands last, so whatever
// characters it has cannot make two names one.
func (l layout) name(key *leadevents.Key, s slot) string {
	b := make([]byte, 0, len(l.prefix)+len(key.EventType)+24)
	b = append(b, l.prefix...)
	b = append(b, ':')
	b = strconv.AppendUint(b, uint64(key.Org), 36)
	b = append(b, ':')
	if s.old {
		b = append(b, oldSlot...)
	}
	b = strconv.AppendUint(b, s.number, 36)
	b = append(b, ':')
	b = strconv.AppendUint(b, l.part(s, key.Phone), 36)
	b = append(b, ':')
	return string(append(b, key.EventType...))
}

const oldSlot = "-"

// slotStart is when the slot of a bucket's name begins, ms.
func (l layout) slotStart(name string) (uint64, error) {
	digits, old := strings.CutPrefix(name, oldSlot)
	slot, err := strconv.ParseUint(digits, 36, 64)
	if old {
		return slot << oldWidth, err
	}
	return slot << l.width, err
}

// token is a batch id as stored: 8 bytes. A claim is 'c' and the token. A value is
// claims, and behind them, once it is sealed, the owner's token: its length tells.
func token(id leadevents.BatchID) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(id))
	return string(b[:])
}

// owner reads a stored value: the sealing batch, or zero where there are only claims.
func owner(value string) leadevents.BatchID {
	if len(value)%9 != 8 {
		return 0
	}
	return leadevents.BatchID(binary.BigEndian.Uint64([]byte(value[len(value)-8:])))
}

// claimants reads the batches whose claims a value holds.
func claimants(value string) []leadevents.BatchID {
	var ids []leadevents.BatchID
	for ; len(value) >= 9; value = value[9:] {
		ids = append(ids, leadevents.BatchID(binary.BigEndian.Uint64([]byte(value[1:9]))))
	}
	return ids
}

// layout is the layout of a trust record's era.
func (l *Ledger) layout(trust *Trust) layout {
	return layout{
		prefix:  l.cfg.Prefix + "k" + trust.Era,
		width:   l.cfg.SlotWidth,
		bits:    l.cfg.SlotBits,
		horizon: leadevents.Millis(l.cfg.Horizon.Milliseconds()),
		old:     trust.Old,
	}
}

// The keys beside those of events.
func (l *Ledger) epochKey() string    { return l.cfg.Prefix + "epoch" }
func (l *Ledger) trustKey() string    { return l.cfg.Prefix + "trust" }
func (l *Ledger) beatKey() string     { return l.cfg.Prefix + "beat" }
func (l *Ledger) archivedKey() string { return l.cfg.Prefix + "archived" }
func (l *Ledger) landedKey() string   { return l.cfg.Prefix + "landed" }
func (l *Ledger) serversKey() string  { return l.cfg.Prefix + "servers" }

// From which moment on a rebuild has set all keys, and the lease of the process that does
// it. The key "rebuild" was that of versions that went from the oldest events on.
func (l *Ledger) rebuildKey() string   { return l.cfg.Prefix + "rebuilt" }
func (l *Ledger) rebuilderKey() string { return l.cfg.Prefix + "rebuilder" }
