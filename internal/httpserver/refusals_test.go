package httpserver

import (
	"testing"

	"github.com/gofiber/fiber/v2"

	"leadevents"
)

// A store that is dead must not fill the disk: a flood of 503s has some lines, and
// says how many have none, and so does a flood of 429s. Other errors have a line each.
func TestAFloodOfRefusalsIsLoggedSparingly(t *testing.T) {
	f := start(t, nil, func(s *Server) {
		s.App().Get("/dead", func(*fiber.Ctx) error { return leadevents.Errorf(leadevents.Unavailable, "the store is dead") })
		s.App().Get("/limit", func(*fiber.Ctx) error { return leadevents.Errorf(leadevents.RateLimited, "too many") })
		s.App().Get("/bug", func(*fiber.Ctx) error { return leadevents.Errorf(leadevents.Internal, "a bug") })
	})
	const flood = refusalLinesBurst + 500
	for range flood {
		if a := f.send(t, "GET", "/limit", nil); a.status != 429 {
			t.Fatalf("answered %d", a.status)
		}
		if a := f.send(t, "GET", "/dead", nil); a.status != 503 {
			t.Fatalf("answered %d", a.status)
		}
		if a := f.send(t, "GET", "/bug", nil); a.status != 500 {
			t.Fatalf("answered %d", a.status)
		}
	}
	refused, unlogged, bugs, limited := 0, 0, 0, 0
	count := func() {
		refused, unlogged, bugs, limited = 0, 0, 0, 0
		for _, line := range f.log.lines(t, "request") {
			switch line["status"] {
			case 500.0:
				bugs++
				continue
			case 429.0:
				limited++
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
	if limited < refusalLinesBurst || limited == flood { // and they have not used up the lines of the others
		t.Errorf("%d of %d refusals by a limit have a line", limited, flood)
	}
	sent := flood
	eventually(t, "a line says how many have none", func() bool {
		f.send(t, "GET", "/dead", nil)
		sent++
		count()
		return unlogged > 0 && refused+unlogged+int(f.refusals.unlogged.Load()) == sent
	})
}
