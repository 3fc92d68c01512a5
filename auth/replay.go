package auth

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"leadevents"
)

// How far the timestamp of a v1 signature may lie from the server's clock, before or
// after it. An organization that has replay protection sets its own tolerance and
// takes no other signatures; for one that has none, and whose senders use v1 already,
// it is the default. Five minutes is what Stripe, Slack and Standard Webhooks take;
// below ten seconds the clocks would decide, and beyond an hour it protects of little.
const (
	DefaultReplayTolerance = 5 * time.Minute
	MinReplayTolerance     = 10 * time.Second
	MaxReplayTolerance     = time.Hour
)

// maxTimestampDigits is up to the year 5138; milliseconds have 13.
const maxTimestampDigits = 11

// parseTimestamp reads seconds since 1970, digits alone.
func parseTimestamp(s string) (time.Time, error) {
	expected := fmt.Sprintf("a %s signature is over it, and it must be the moment of signing in whole seconds since 1970, no further from the server's clock than the organization tolerates (%d s unless it has set another)",
		strings.TrimSuffix(timestampedPrefix, "="), seconds(DefaultReplayTolerance))
	switch {
	case s == "":
		return time.Time{}, fmt.Errorf("%s is missing: %s", TimestampHeader, expected)
	case strings.Trim(s, "0123456789") != "":
		return time.Time{}, fmt.Errorf("%s is %q: %s", TimestampHeader, cut(s, 40), expected)
	case len(s) > maxTimestampDigits:
		return time.Time{}, fmt.Errorf("%s has %d digits, as milliseconds have: %s", TimestampHeader, len(s), expected)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil { // eleven digits fit
		return time.Time{}, fmt.Errorf("%s: %w", TimestampHeader, err)
	}
	return time.Unix(n, 0), nil
}

// staleError is why a signature that an active key has made is not accepted. It
// depends on the organization's settings, so nobody but a holder of its secret
// learns it.
type staleError struct{ reason string }

func (e *staleError) Error() string { return e.reason }

// fresh holds a signature of one of the organization's keys to its tolerance; both
// ends are tolerated. What is repeated within it passes: see the package comment.
func (o *orgEntry) fresh(s signature, now time.Time) error {
	if s.timestamp == "" {
		if o.tolerance == 0 {
			return nil
		}
		return &staleError{fmt.Sprintf("the signature is right, but organization %d has replay protection and accepts none without a timestamp: send %s: %s…, made over the timestamp, a dot and the body, and in %s that timestamp, seconds since 1970, at most %d s from the server's clock",
			o.id, SignatureHeader, timestampedPrefix, TimestampHeader, seconds(o.tolerance))}
	}
	// In whole seconds, as the timestamp is: and a time.Duration would overflow for
	// one of the year 5138, and let it in.
	tolerance := seconds(cmp.Or(o.tolerance, DefaultReplayTolerance))
	old := now.Unix() - s.at.Unix()
	switch {
	case old > tolerance:
		return &staleError{fmt.Sprintf("the signature is right, but its %s is %d s before the server's clock, and organization %d tolerates %d s: sign again, with the time of now",
			TimestampHeader, old, o.id, tolerance)}
	case -old > tolerance:
		return &staleError{fmt.Sprintf("the signature is right, but its %s is %d s ahead of the server's clock, and organization %d tolerates %d s: set the sender's clock",
			TimestampHeader, -old, o.id, tolerance)}
	}
	return nil
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// checkReplayTolerance refuses what cannot be set; zero is off.
func checkReplayTolerance(d time.Duration) error {
	if d == 0 || d >= MinReplayTolerance && d <= MaxReplayTolerance && d%time.Second == 0 {
		return nil
	}
	return leadevents.Errorf(leadevents.InvalidRequest, "replayToleranceSeconds must be 0 (off), or whole seconds from %d to %d", seconds(MinReplayTolerance), seconds(MaxReplayTolerance))
}
