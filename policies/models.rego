# Which models a principal may send content to. Everything that no rule allows is denied.
package multiagent.models

import rego.v1

default allow := false

allow if {
	input.user.authenticated == true
	input.user.role in {"user", "admin"}
	not agent_as_admin
	input.model.vendor != ""
	input.model.name != ""
}

agent_as_admin if {
	input.user.role == "admin"
	input.user.agent != ""
}

reasons contains "who asks is not authenticated" if not input.user.authenticated == true

reasons contains "guests may not use models" if input.user.role == "guest"

reasons contains "an agent never acts as an administrator" if agent_as_admin

decision := {"allow": true, "reasons": [], "obligations": []} if allow

decision := {"allow": false, "reasons": [one | some one in reasons], "obligations": []} if not allow
