package query

import (
	"strconv"

	"github.com/gofiber/fiber/v2"

	"leadevents"
	"leadevents/auth"
	"leadevents/internal/httpserver"
)

// asker is who asks for what.
type asker struct {
	org        leadevents.OrgID // which is answered for
	parameters map[string]string
	// forbidden is that the key lacks the scope. It is told when all that can be
	// wrong with the question is told.
	forbidden error
}

// asks reads who asks: 401 first, then what is wrong with the query string, of
// which the named parameters are known; see [asker].forbidden for the rest.
func asks(c *fiber.Ctx, directory *auth.Directory, scope auth.Scope, names ...string) (asker, error) {
	principal, err := directory.Key(httpserver.Context(c), c.Get(fiber.HeaderAuthorization), scope)
	by := asker{org: principal.Org}
	switch {
	case err == nil:
		httpserver.SetOrganization(c, principal.Org)
	case leadevents.KindOf(err) == leadevents.Forbidden:
		by.forbidden = err
	default:
		return by, err
	}
	by.parameters, err = httpserver.QueryParameters(c, names...)
	return by, err
}

// limit is the parameter of that name.
func (by *asker) limit(fallback, most int) (int, error) {
	text := by.parameters["limit"]
	if text == "" {
		return fallback, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > most {
		return 0, leadevents.Errorf(leadevents.InvalidRequest, "limit must be 1 to %d", most)
	}
	return limit, nil
}

// moment reads a time of the query string; absent is zero.
func moment(name, text string) (leadevents.Millis, error) {
	if text == "" {
		return 0, nil
	}
	at, ok := leadevents.ParseMillis([]byte(text))
	if !ok {
		return 0, leadevents.Errorf(leadevents.InvalidRequest, "%s must be a time as RFC 3339 with an offset, from 1970 to before 2100 (a + in it is written %%2B)", name)
	}
	return at, nil
}
