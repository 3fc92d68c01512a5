package ingest

import (
	"hash/maphash"
	"math/bits"

	"leadevents"
)

// places finds keys that repeat: a table of indexes, open addressing, at most half full. A map
// from key to index took three times as long for 50,000 keys (12 ms instead of 4,
// BenchmarkCollapse50000), and 2 MB more: it holds the keys again, and hashes
// them byte by byte.
type places struct {
	index []int32 // plus one: zero is free
	shift uint
}

func newPlaces(n int) *places {
	width := uint(bits.Len(uint(2*n) | 15))
	return &places{index: make([]int32, 1<<width), shift: 64 - width}
}

// find gives the index of a key by its hash; if is says whether the key of an index is it. One
// that is not there gets the index next.
func (p *places) find(hash uint64, is func(int32) bool, next int32) (k int32, known bool) {
	mask := len(p.index) - 1
	for at := int(hash >> p.shift); ; at = (at + 1) & mask {
		switch k := p.index[at] - 1; {
		case k < 0:
			p.index[at] = next + 1
			return next, false
		case is(k):
			return k, true
		}
	}
}

// placesSeed keeps a client from sending keys that all fall on one place.
var placesSeed = maphash.Comparable(maphash.MakeSeed(), 0) | 1

// hashOf mixes a key with the seed of the process (the finalizer of SplitMix64, twice).
func hashOf(phone leadevents.Phone, at leadevents.Millis, family uint32) uint64 {
	return mix(mix(uint64(phone)^placesSeed) + uint64(at) ^ uint64(family)<<44)
}

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
