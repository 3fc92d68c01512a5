package leadevents

// NewID draws what the entries, runs and lists of sends are told apart by: a
// positive, random number of 63 bits.
func NewID() uint64 { return random63() }
