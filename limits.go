package leadevents

// Limit is something of which an organization may be given only so much.
type Limit uint8

// The limits of an organization.
const (
	RequestsPerSecond Limit = iota // requests with a credential of the organization
	RowsPerSecond                  // rows received, of events and of audience uploads
	BodiesInFlight                 // requests with a body that are handled at once
	ConcurrentExports              // streamed results that are read at once
	StoredAudiences                // audiences that exist
)

var limitNames = [...]struct {
	api, setting string
	most         int
}{
	RequestsPerSecond: {"requestsPerSecond", "requests_per_second", 1_000_000},
	RowsPerSecond:     {"rowsPerSecond", "rows_per_second", 10_000_000},
	BodiesInFlight:    {"bodiesInFlight", "bodies_in_flight", 100_000},
	ConcurrentExports: {"concurrentExports", "concurrent_exports", 100_000},
	StoredAudiences:   {"storedAudiences", "stored_audiences", 1_000_000},
}

// Limits is how much an organization may have of each; zero is no limit.
type Limits [len(limitNames)]int

// AllLimits lists every limit, for tables and their tests.
func AllLimits() []Limit {
	all := make([]Limit, len(limitNames))
	for i := range all {
		all[i] = Limit(i)
	}
	return all
}

// String is the limit's name in the API: "requestsPerSecond".
func (l Limit) String() string { return limitNames[l].api }

// Setting is its name among the settings: "requests_per_second".
func (l Limit) Setting() string { return limitNames[l].setting }

// Most is the highest value that the limit may have.
func (l Limit) Most() int { return limitNames[l].most }

// ParseLimit reads a limit's name in the API.
func ParseLimit(name string) (Limit, bool) {
	for _, l := range AllLimits() {
		if l.String() == name {
			return l, true
		}
	}
	return 0, false
}

// CheckLimit refuses a value that the limit cannot have.
func CheckLimit(l Limit, value int) error {
	if value < 0 || value > l.Most() {
		return Errorf(InvalidRequest, "%s is %d: 0 (no limit) to %d is allowed", l, value, l.Most())
	}
	return nil
}
