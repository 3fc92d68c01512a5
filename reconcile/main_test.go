package reconcile_test

import (
	"testing"

	"leadevents/internal/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }
