package multiagent.egress_test

import rego.v1

allowed := {"allow": true, "reasons": [], "obligations": []}

user := {"id": "u", "tenant": "t", "role": "user", "authenticated": true, "permissions": ["network"], "agent": "a1"}

site := {"host": "example.org", "port": 443, "method": "GET"}

asked(who, egress, labels) := {"user": who, "egress": egress, "labels": labels}

test_the_permission_opens_port_443 if {
	data.multiagent.egress.decision == allowed with input as asked(user, site, ["untrusted"])
}

test_without_the_permission_nothing_opens if {
	decision := data.multiagent.egress.decision with input as asked(object.union(user, {"permissions": []}), site, [])
	decision.allow == false
	"opening connections needs the permission network" in decision.reasons
}

test_other_ports_stay_shut if {
	decision := data.multiagent.egress.decision with input as asked(user, object.union(site, {"port": 22}), [])
	decision.allow == false
	"only port 443 is open" in decision.reasons
}

test_a_port_as_text_stays_shut if {
	decision := data.multiagent.egress.decision with input as asked(user, object.union(site, {"port": "443"}), [])
	decision.allow == false
	"only port 443 is open" in decision.reasons
}

test_private_and_untrusted_content_does_not_leave if {
	decision := data.multiagent.egress.decision with input as asked(user, site, ["private", "untrusted"])
	decision.allow == false
	"private data and untrusted content may not leave together" in decision.reasons
}

test_guests_open_nothing if {
	decision := data.multiagent.egress.decision with input as asked(object.union(user, {"role": "guest"}), site, [])
	decision.allow == false
	"guests may not open connections" in decision.reasons
}

test_an_agent_never_acts_as_admin if {
	decision := data.multiagent.egress.decision with input as asked(object.union(user, {"role": "admin"}), site, [])
	decision.allow == false
	"an agent never acts as an administrator" in decision.reasons
}

test_nobody_opens_nothing if {
	data.multiagent.egress.decision.allow == false with input as {}
}
