package leadevents

import (
	"strings"
	"testing"
)

func TestLimitsHaveNamesAndBounds(t *testing.T) {
	for _, l := range AllLimits() {
		if back, ok := ParseLimit(l.String()); !ok || back != l {
			t.Errorf("%s is read as %s, %t", l, back, ok)
		}
		if !strings.EqualFold(strings.ReplaceAll(l.Setting(), "_", ""), l.String()) {
			t.Errorf("%s is called %s among the settings", l, l.Setting())
		}
		for value, ok := range map[int]bool{0: true, 1: true, l.Most(): true, -1: false, l.Most() + 1: false} {
			err := CheckLimit(l, value)
			if (err == nil) != ok || err != nil && (KindOf(err) != InvalidRequest || !strings.Contains(err.Error(), l.String())) {
				t.Errorf("%s of %d: %v", l, value, err)
			}
		}
	}
	if _, ok := ParseLimit("requests_per_second"); ok {
		t.Error("the setting's name is not the API's")
	}
}
