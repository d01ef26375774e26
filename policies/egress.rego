# Which connections to the outside a principal may open. Everything that no rule allows is denied.
package multiagent.egress

import rego.v1

default allow := false

allow if {
	input.user.authenticated == true
	input.user.role in {"user", "admin"}
	not agent_as_admin
	networked
	input.egress.port == 443
	input.egress.host != ""
	not leak
}

agent_as_admin if {
	input.user.role == "admin"
	input.user.agent != ""
}

networked if "network" in input.user.permissions

# Untrusted content, private data and a way out never meet.
leak if {
	"untrusted" in input.labels
	"private" in input.labels
}

reasons contains "who asks is not authenticated" if not input.user.authenticated == true

reasons contains "guests may not open connections" if input.user.role == "guest"

reasons contains "an agent never acts as an administrator" if agent_as_admin

reasons contains "opening connections needs the permission network" if not networked

reasons contains "only port 443 is open" if not input.egress.port == 443

reasons contains "private data and untrusted content may not leave together" if leak

decision := {"allow": true, "reasons": [], "obligations": []} if allow

decision := {"allow": false, "reasons": [one | some one in reasons], "obligations": []} if not allow
