package analyst

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"leadevents"
)

// Account is a database user, and where its view is.
type Account struct {
	User, Password string
	Database       string // "events" lies in it
	outside        bool   // see Outside
}

// poolPrefix begins the names of users, and of databases, that are made ahead.
const poolPrefix = "leadevents_analyst_"

// PoolPattern finds their databases with LIKE.
const PoolPattern = `leadevents\_analyst\_%`

// Own is the account of an organization on a server that makes users.
func Own(database, serverPassword string, org leadevents.OrgID) Account {
	name := fmt.Sprintf("%s_q_%d", database, org)
	return Account{User: name, Password: derive(serverPassword, name), Database: name}
}

// Outside is the account of an organization's tools that ask ClickHouse themselves, with
// the same right. Its password is made by chance and known to whom it was shown.
func Outside(database string, org leadevents.OrgID) Account {
	own := Own(database, "", org)
	return Account{User: own.User + "_bi", Password: rand.Text(), Database: own.Database, outside: true}
}

// Pooled is the i-th account that was made ahead.
func Pooled(serverPassword string, i int) Account {
	name := fmt.Sprintf("%s%03d", poolPrefix, i)
	return Account{User: name, Password: derive(serverPassword, name), Database: name}
}

// PoolProfile is the name of the limits of the accounts made ahead.
const PoolProfile = "leadevents_analyst"

// derive makes a password that only who has the server's can make.
func derive(serverPassword, user string) string {
	mac := hmac.New(sha256.New, []byte(serverPassword))
	mac.Write([]byte("leadevents: the analyst's user " + user))
	return hex.EncodeToString(mac.Sum(nil))
}

// digest is a password as ClickHouse is told it.
func digest(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}
