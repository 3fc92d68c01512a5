package app

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"leadevents/configs"
)

// checkMasterKeys looks whether the stored signing secrets can be decrypted, and
// whether a rotation of the master key has come to its end.
func checkMasterKeys(ctx context.Context, s configs.Settings) Finding {
	const subject = "master key"
	credentials, err := OpenCredentials(s, slog.New(slog.DiscardHandler))
	if err != nil {
		return Finding{Broken, subject, fmt.Sprintf("the signing secrets cannot be examined: %v", err), "correct the settings master_key, old_master_key and next_master_key"}
	}
	defer func() { _ = credentials.Close() }() // nothing was written
	use, err := credentials.ExamineMasterKeys(ctx)
	switch {
	case err != nil:
		return Finding{Broken, subject, fmt.Sprintf("the signing secrets cannot be examined: %v", cause(err)), clickHouseRemedy(err)}
	case !use.Readable:
		return Finding{Broken, subject, fmt.Sprintf("%d of %d signing secrets cannot be decrypted, so their signatures get 503: %s", len(use.Unreadable), use.Secrets, strings.Join(use.Unreadable, "; ")),
			"set old_master_key to the key that they are under, or revoke these signing keys"}
	case use.Old > 0:
		return Finding{Warning, subject, fmt.Sprintf("%d of %d signing secrets are under another master key than master_key", use.Old, use.Secrets),
			"when every server has the new one as master_key, run `leadevents rotate-master-key` with the same settings; until then keep old_master_key and next_master_key"}
	case !s.OldMasterKey.IsZero():
		return Finding{OK, subject, fmt.Sprintf("all %d signing secrets are under master_key: old_master_key is not needed any more", use.Secrets), ""}
	}
	return Finding{OK, subject, fmt.Sprintf("all %d signing secrets can be decrypted", use.Secrets), ""}
}
