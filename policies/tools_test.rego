package multiagent.tools_test

import rego.v1

asked(user, tool, code, labels) := decision if {
	decision := data.multiagent.tools.decision with input.user as user
		with input.tool as tool
		with input.code as code
		with input.labels as labels
}

test_user_uses_a_basic_tool if {
	asked(person("user"), basic("calculator"), null, []) == allowed
}

allowed := {"allow": true, "reasons": [], "obligations": []}

person(role) := {"id": "u", "tenant": "t", "role": role, "authenticated": true, "permissions": [], "agent": ""}

basic(name) := {"name": name, "group": "basic", "idempotent": true}
