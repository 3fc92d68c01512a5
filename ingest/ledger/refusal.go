package ledger

import (
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"leadevents"
)

// refusals are the answers of a Redis that lives and does not do its work: what
// the client is told, and when it should come again.
var refusals = []struct {
	prefix, message string
	after           time.Duration
}{
	{"OOM", "the ledger (Redis) is out of memory: its maxmemory is reached", 5 * time.Second},
	{"MISCONF", "the ledger (Redis) cannot write to its disk", 5 * time.Second},
	{"READONLY", "the ledger (Redis) is a read-only replica", 2 * time.Second},
	{"NOREPLICAS", "the ledger (Redis) has fewer replicas than its min-replicas-to-write", 2 * time.Second},
	{"MASTERDOWN", "the ledger (Redis) is a replica without its master", 2 * time.Second},
	{"CLUSTERDOWN", "the ledger (Redis) is a cluster that is down", 2 * time.Second},
	{"LOADING", "the ledger (Redis) is loading its data", time.Second},
	{"BUSY", "the ledger (Redis) is busy with a script that does not end", time.Second},
	{"max number of clients", "the ledger (Redis) has as many connections as its maxclients", 2 * time.Second},
	{"NOAUTH", credentialsRefused, 10 * time.Second},
	{"WRONGPASS", credentialsRefused, 10 * time.Second},
	{"NOPERM", credentialsRefused, 10 * time.Second},
}

const credentialsRefused = "the ledger (Redis) refuses the server's user, its password or its rights"

// refusal is the error to answer with if Redis itself says why it does not do
// its work; nil otherwise.
func refusal(err error) error {
	for _, r := range refusals {
		if redis.HasErrorPrefix(err, r.prefix) {
			e := leadevents.Wrap(leadevents.Unavailable, err, "%s; send the same request again later", r.message)
			e.RetryAfter = r.after
			return e
		}
	}
	return nil
}

// unavailable makes a failure one the client reads as "try again".
func (l *Ledger) unavailable(err error) error {
	if _, ok := errors.AsType[*leadevents.Error](err); ok {
		return err
	}
	if refused := refusal(err); refused != nil {
		return refused
	}
	switch {
	case errors.Is(err, errLate):
		return leadevents.Wrap(leadevents.Unavailable, err, "the stores were too slow to finish within ledger.deadline (%s); send the same request again", l.cfg.Deadline)
	case errors.Is(err, errLeap):
		return leadevents.Wrap(leadevents.Unavailable, err, "the ledger's clock (Redis) went back during the request; send the same request again")
	case errors.Is(err, errEpoch):
		return leadevents.Wrap(leadevents.Unavailable, err, "the ledger (Redis) lost its memory during the request; send the same request again")
	}
	return leadevents.Wrap(leadevents.Unavailable, err, "the ledger (Redis) did not answer as it should; send the same request again")
}
