package main

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"time"

	"leadevents"
	"leadevents/internal/loadgen"
)

// layout is a way to lay keys out in Redis: one by one, or in hashes of one
// organization and type whose keys' time lies in one slot of 2^width ms, split
// in 2^bits by phone. It writes what ingest/ledger/layout.go would, without the
// ledger around it, so that widths can be tried that the ledger does not offer.
//
// generation is a proposal for keys beyond the horizon: buckets of the time of
// the seal instead of the event's, split in 2^bits by phone, whose fields are
// phone and time.
type layout struct {
	plain       bool
	generation  bool
	width, bits uint
}

func (l layout) String() string {
	if l.plain {
		return "plain keys"
	}
	if l.generation {
		return fmt.Sprintf("by time of seal, 2^%d buckets", l.bits)
	}
	d := time.Duration(1<<l.width) * time.Millisecond
	return fmt.Sprintf("slots of %.4g h (2^%d ms), 2^%d buckets", d.Hours(), l.width, l.bits)
}

// fieldBytes is the place of a key in its bucket: the phone, and the ms since
// the slot's start in as few bytes as hold them.
func (l layout) fieldBytes() int {
	if l.generation {
		return 8 + 6
	}
	return 8 + int(l.width+7)/8
}

// sealing writes the commands that remember events first … first+n−1: for plain
// keys SET NX GET PXAT, for buckets HSET and PEXPIREAT. keep is the shortest
// life from now on, horizon that from the event on.
func (l layout) sealing(g *loadgen.Generator, first, n uint64, now leadevents.Millis, keep, horizon time.Duration) (commands []byte, replies int) {
	type placed struct {
		bucket, field string
		slot          uint64
	}
	var (
		e     loadgen.Event
		token [8]byte
		all   = make([]placed, 0, n)
		key   []byte
	)
	binary.BigEndian.PutUint64(token[:], 1<<62+first)
	for i := first; i < first+n; i++ {
		g.Event(i, &e)
		if l.plain {
			key = plainKey(key[:0], g, &e)
			expiry := max(now.Add(keep), e.OccurredAt.Add(horizon))
			commands = appendCommand(commands, "SET", string(key), string(token[:]), "NX", "GET", "PXAT", strconv.FormatInt(int64(expiry), 10))
			replies++
			continue
		}
		slot, offset := uint64(e.OccurredAt)>>l.width, uint64(e.OccurredAt)&(1<<l.width-1)
		if l.generation {
			slot, offset = uint64(now)/uint64(keep.Milliseconds()), uint64(e.OccurredAt)
		}
		name := fmt.Sprintf("lek1:%s:%s:%s:%s", strconv.FormatUint(uint64(g.Config().Org), 36),
			strconv.FormatUint(slot, 36), strconv.FormatUint(l.sub(uint64(e.Phone)), 36), e.EventType)
		field := binary.BigEndian.AppendUint64(nil, uint64(e.Phone))
		place := binary.BigEndian.AppendUint64(nil, offset)
		all = append(all, placed{name, string(append(field, place[16-l.fieldBytes():]...)), slot})
	}
	slices.SortStableFunc(all, func(a, b placed) int { return cmp.Compare(a.bucket, b.bucket) })
	for from := 0; from < len(all); {
		to := from
		args := []string{"HSET", all[from].bucket}
		for ; to < len(all) && all[to].bucket == all[from].bucket && to-from < 1000; to++ {
			args = append(args, all[to].field, string(token[:]))
		}
		expiry := now.Add(2 * keep)
		if !l.generation {
			expiry = max(now.Add(keep), leadevents.Millis((all[from].slot+1)<<l.width).Add(horizon))
		}
		commands = appendCommand(commands, args...)
		commands = appendCommand(commands, "PEXPIREAT", all[from].bucket, strconv.FormatInt(int64(expiry), 10))
		replies += 2
		from = to
	}
	return commands, replies
}

// sub is the finalizer of SplitMix64, as in the ledger.
func (l layout) sub(x uint64) uint64 {
	if l.bits == 0 {
		return 0
	}
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return (x ^ x>>31) >> (64 - l.bits)
}
