package query

import (
	"slices"
	"strconv"
	"strings"

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
	by.parameters, err = parameters(c, names...)
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

// parameters reads the query string: only the named ones, each once, none empty.
// Values are copies.
func parameters(c *fiber.Ctx, names ...string) (map[string]string, error) {
	given := map[string]string{}
	var err error
	for key, value := range c.Context().QueryArgs().All() {
		name := string(key)
		_, twice := given[name]
		switch {
		case err != nil:
		case !slices.Contains(names, name):
			err = leadevents.Errorf(leadevents.InvalidRequest, "the query parameter %q is unknown here; known are: %s", name, known(names))
		case twice:
			err = leadevents.Errorf(leadevents.InvalidRequest, "the query parameter %s stands there twice", name)
		case len(value) == 0:
			err = leadevents.Errorf(leadevents.InvalidRequest, "the query parameter %s is empty", name)
		}
		given[name] = string(value)
	}
	return given, err
}

func known(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
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
