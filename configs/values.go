package configs

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Bytes is a size in bytes.
type Bytes int64

var units = []struct {
	name string
	size Bytes
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// String is the size in the largest unit that divides it: "256MiB".
func (b Bytes) String() string {
	for _, u := range units {
		if b != 0 && b%u.size == 0 && u.size > 1 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// ParseBytes reads a whole number of bytes, with or without a unit of 1024:
// "1048576", "1024KiB", "1MiB". MB is refused, since half of the world means
// something else by it than the other half.
func ParseBytes(s string) (Bytes, error) {
	digits, unit := s, Bytes(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			digits, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > int64(1<<62)/int64(unit) {
		return 0, fmt.Errorf("%q is not a size: write bytes or a whole number of KiB, MiB or GiB, such as 256MiB", s)
	}
	return Bytes(n) * unit, nil
}

// ParseNetwork reads a network as CIDR writes it ("10.0.0.0/8"), or one address. One
// with more bits than its mask covers is refused: it was meant otherwise.
func ParseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" && !a.Is4In6() {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p != p.Masked() || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("each must be an address or a network such as 10.0.0.0/8 or fd00::/8")
	}
	return p, nil
}
