package notify

import (
	"testing"

	"go.uber.org/goleak"

	"leadevents/internal/storetest"
)

func TestMain(m *testing.M) {
	storetest.Main(m, func() error { return goleak.Find() })
}
