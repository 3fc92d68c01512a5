package httpserver

import (
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"leadevents"
)

// QueryParameters reads the query string: only the named ones, each once, none empty.
// Values are copies, absent ones are "". One whose name is given as "name..." may stand
// there several times: [QueryValues] has them all.
func QueryParameters(c *fiber.Ctx, names ...string) (map[string]string, error) {
	given := map[string]string{}
	var err error
	for key, value := range c.Context().QueryArgs().All() {
		name := string(key)
		_, twice := given[name]
		several := slices.Contains(names, name+"...")
		switch {
		case err != nil:
		case !several && !slices.Contains(names, name):
			err = leadevents.Errorf(leadevents.InvalidRequest, "the query parameter %q is unknown here; known are: %s", name, knownParameters(names))
		case twice && !several:
			err = leadevents.Errorf(leadevents.InvalidRequest, "the query parameter %s stands there twice", name)
		case len(value) == 0:
			err = leadevents.Errorf(leadevents.InvalidRequest, "the query parameter %s is empty", name)
		}
		given[name] = string(value)
	}
	return given, err
}

// QueryValues are the values of a parameter, in their order; nil if it is absent.
func QueryValues(c *fiber.Ctx, name string) (values []string) {
	for _, value := range c.Context().QueryArgs().PeekMulti(name) {
		values = append(values, string(value))
	}
	return values
}

// QueryFlag is a parameter that is true or false; absent is false.
func QueryFlag(given map[string]string, name string) (bool, error) {
	switch given[name] {
	case "true":
		return true, nil
	case "false", "":
		return false, nil
	}
	return false, leadevents.Errorf(leadevents.InvalidRequest, "the query parameter %s must be true or false", name)
}

func knownParameters(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.ReplaceAll(strings.Join(names, ", "), "...", "")
}
