package ingest

import (
	"hash/maphash"
	"math/bits"

	"leadevents"
)

// places are where keys are found again among many: a table of their indexes, open addressing,
// at most half full. A map from key to index took three times as long for 50,000 keys (12 ms instead
// of 4 to 5, BenchmarkCollapse50000), and 2 MB more: it holds the keys again.
type places struct {
	index []int32 // plus one: zero is free
	shift uint
}

func newPlaces(n int) *places {
	width := uint(bits.Len(uint(2*n) | 15))
	return &places{index: make([]int32, 1<<width), shift: 64 - width}
}

// of is the place of a key by its hash, which holds its index plus one, or zero where it is
// not there: to be put there. is says whether the key of an index is it.
func (p *places) of(hash uint64, is func(int32) bool) *int32 {
	mask := len(p.index) - 1
	for at := int(hash >> p.shift); ; at = (at + 1) & mask {
		if k := p.index[at] - 1; k < 0 || is(k) {
			return &p.index[at]
		}
	}
}

// placesSeed keeps a client from sending keys that all fall on one place.
var placesSeed = maphash.Comparable(maphash.MakeSeed(), 0) | 1

// hashOf mixes a key, whose organization and event type have a number, with the seed of the
// process (the finalizer of SplitMix64, twice). maphash.Comparable of the three was tried: 6 to 7 ms for
// 50,000 keys instead of 4 to 5.
func hashOf(phone leadevents.Phone, at leadevents.Millis, family uint32) uint64 {
	return mix(mix(uint64(phone)^placesSeed) + uint64(at) ^ uint64(family)<<44)
}

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
