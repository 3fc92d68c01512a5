package httpserver

import (
	"testing"

	"github.com/gofiber/fiber/v2"

	"leadevents"
)

// A store that is dead must not fill the disk: a flood of 503s has some lines, and
// says how many have none. Other errors have a line each.
func TestAFloodOfRefusalsIsLoggedSparingly(t *testing.T) {
	f := start(t, nil, func(s *Server) {
		s.App().Get("/dead", func(*fiber.Ctx) error { return leadevents.Errorf(leadevents.Unavailable, "the store is dead") })
		s.App().Get("/bug", func(*fiber.Ctx) error { return leadevents.Errorf(leadevents.Internal, "a bug") })
	})
	const flood = refusalLinesBurst + 500
	for range flood {
		if a := f.send(t, "GET", "/dead", nil); a.status != 503 {
			t.Fatalf("answered %d", a.status)
		}
		if a := f.send(t, "GET", "/bug", nil); a.status != 500 {
			t.Fatalf("answered %d", a.status)
		}
	}
	refused, unlogged, bugs := 0, 0, 0
	count := func() {
		refused, unlogged, bugs = 0, 0, 0
		for _, line := range f.log.lines(t, "request") {
			if line["status"] == 500.0 {
				bugs++
				continue
			}
			refused++
			if n, ok := line["unlogged"].(float64); ok {
				unlogged += int(n)
			}
		}
	}
	eventually(t, "every bug has its line", func() bool { count(); return bugs == flood })
	if refused < refusalLinesBurst || refused == flood {
		t.Errorf("%d of %d refusals have a line", refused, flood)
	}
	sent := flood
	eventually(t, "a line says how many have none", func() bool {
		f.send(t, "GET", "/dead", nil)
		sent++
		count()
		return unlogged > 0 && refused+unlogged+int(f.refusals.unlogged.Load()) == sent
	})
}
