package clickhouse

import (
	"math/bits"
	"slices"
)

// phoneList are phones of leads, ascending, each once.
type phoneList []uint64

// add appends a block of phones; ascending tells whether all of them came in
// order. Repeats in a row are one lead.
func (l *phoneList) add(block []uint64, ascending *bool) {
	for _, p := range block {
		if n := len(*l); n > 0 && p <= (*l)[n-1] {
			if p == (*l)[n-1] {
				continue
			}
			*ascending = false
		}
		*l = append(*l, p)
	}
}

// put makes it ascending.
func (l *phoneList) put() {
	slices.Sort(*l)
	*l = slices.Compact(*l)
}

// marks has a bit for each phone of a list.
type marks []uint64

func (l phoneList) marks() marks { return make(marks, (len(l)+63)/64) }

func (m marks) has(i int) bool { return m[i/64]&(1<<(i%64)) != 0 }

// marker marks the phones of a list that it is given, block by block. Whatever
// their order is, they are found; a block in order, which is how states lie, is
// merged with the list: 1.5 ns a phone, where a look-up in a hash table of a million
// takes 20.
type marker struct {
	leads phoneList
	marks marks
	at    int // every lead before it is smaller than the block that was last merged
}

func (l phoneList) marker(m marks) *marker { return &marker{leads: l, marks: m} }

func (k *marker) mark(block []uint64) {
	switch {
	case len(block) == 0:
	case slices.IsSorted(block):
		k.merge(block)
	default:
		for _, p := range block {
			if at, found := slices.BinarySearch(k.leads, p); found {
				k.marks[at/64] |= 1 << (at % 64)
			}
		}
	}
}

// merge walks through the block from lead to lead. The other way round, from phone
// to phone, took three times as long: of ten phones one is a lead, and the
// processor cannot guess which, so that it is better asked once a lead.
func (k *marker) merge(block []uint64) {
	leads, at := k.leads, k.at
	if at == len(leads) || at > 0 && leads[at-1] >= block[0] || leads[at] < block[0] {
		at, _ = slices.BinarySearch(leads, block[0])
	}
	const idle = 8 // leads in a row that the block has nothing of: they are skipped
	still := 0
	for i := 0; at < len(leads); at++ {
		lead := leads[at]
		if block[i] < lead {
			still = 0
			for i++; i < len(block) && block[i] < lead; i++ {
			}
			if i == len(block) {
				break
			}
		}
		if block[i] == lead {
			k.marks[at/64] |= 1 << (at % 64)
			still = 0
		} else if still++; still == idle {
			at, still = skip(leads, at+1, block[i])-1, 0
		}
	}
	k.at = at
}

// skip is the first place from at on whose phone is not below p; it is looked for
// in steps that double.
func skip(leads phoneList, at int, p uint64) int {
	step := 1
	for at+step <= len(leads) && leads[at+step-1] < p {
		at += step
		step *= 2
	}
	n, _ := slices.BinarySearch(leads[at:min(at+step, len(leads))], p)
	return at + n
}

// picked are the phones that are marked in m and not in n.
func (l phoneList) picked(m, n marks) phoneList {
	var picked phoneList
	for w := range m {
		for rest := m[w] &^ n[w]; rest != 0; rest &= rest - 1 {
			picked = append(picked, l[w*64+bits.TrailingZeros64(rest)])
		}
	}
	return picked
}

// sieve lets the leads that are marked pass, or with drops those that are not.
type sieve struct {
	marks marks
	drops bool
}

// sift lets n leads through sieves, one after the other, and counts what each
// drops of what is left.
func sift(n int, sieves []sieve) (kept uint64, dropped []uint64) {
	dropped = make([]uint64, len(sieves))
	for w := range (n + 63) / 64 {
		left := ^uint64(0)
		if rest := n - w*64; rest < 64 {
			left = 1<<rest - 1
		}
		for i, s := range sieves {
			stopped := s.marks[w]
			if !s.drops {
				stopped = ^stopped
			}
			dropped[i] += uint64(bits.OnesCount64(left & stopped))
			left &^= stopped
		}
		kept += uint64(bits.OnesCount64(left))
	}
	return kept, dropped
}
