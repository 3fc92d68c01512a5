package leadevents

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

// LeadPiece is a piece of an upload, as columns: lead i has the phone Phones[i].
// Reset and use again, it keeps its memory.
type LeadPiece struct {
	First  uint64 // how many leads of the upload came before
	Phones []uint64

	ids  []byte   // the external ids, one after the other
	ends []uint32 // where in ids each ends
	cut  [][]byte
}

// Len is the number of leads.
func (p *LeadPiece) Len() int { return len(p.Phones) }

// Bytes is how much memory the external ids take.
func (p *LeadPiece) Bytes() int { return len(p.ids) }

// Append adds a lead; it copies the external id, empty for none.
func (p *LeadPiece) Append(phone Phone, externalID []byte) {
	p.Phones = append(p.Phones, uint64(phone))
	p.ids = append(p.ids, externalID...)
	p.ends = append(p.ends, uint32(len(p.ids)))
}

// ExternalIDs is the leads' external ids; they are valid until Reset.
func (p *LeadPiece) ExternalIDs() [][]byte {
	p.cut = p.cut[:0]
	start := uint32(0)
	for _, end := range p.ends {
		p.cut = append(p.cut, p.ids[start:end:end])
		start = end
	}
	return p.cut
}

// Drop takes the leads out for which drop holds, and says how many these were; First and
// the order of the others stay.
func (p *LeadPiece) Drop(drop func(Phone) bool) (dropped int) {
	ids, start, kept := 0, uint32(0), 0
	for i, phone := range p.Phones {
		end := p.ends[i]
		if drop(Phone(phone)) {
			dropped++
		} else {
			ids += copy(p.ids[ids:], p.ids[start:end])
			p.Phones[kept], p.ends[kept] = phone, uint32(ids)
			kept++
		}
		start = end
	}
	p.ids, p.Phones, p.ends = p.ids[:ids], p.Phones[:kept], p.ends[:kept]
	return dropped
}

// Reset empties the piece; first is how many leads of the upload came before
// those to be added.
func (p *LeadPiece) Reset(first uint64) {
	p.First, p.Phones, p.ids, p.ends, p.cut = first, p.Phones[:0], p.ids[:0], p.ends[:0], p.cut[:0]
}

// AudienceSweep is what a sweep removed.
type AudienceSweep struct {
	Uploads int // that were left unfinished
	Layers  int // that no audience has
	Commits int // that spoke of such layers
}
