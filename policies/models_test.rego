package multiagent.models_test

import rego.v1

allowed := {"allow": true, "reasons": [], "obligations": []}

user := {"id": "u", "tenant": "t", "role": "user", "authenticated": true, "permissions": [], "agent": "a1"}

rules := {"vendor": "offline", "name": "rules", "tier": "small", "max_output": 100}

asked(who, model) := {"user": who, "model": model, "labels": ["private", "untrusted"]}

test_agents_of_users_use_models if {
	data.multiagent.models.decision == allowed with input as asked(user, rules)
}

test_admins_themselves_use_models if {
	data.multiagent.models.decision == allowed with input as asked(object.union(user, {"role": "admin", "agent": ""}), rules)
}

test_guests_use_no_model if {
	decision := data.multiagent.models.decision with input as asked(object.union(user, {"role": "guest"}), rules)
	decision.allow == false
	"guests may not use models" in decision.reasons
}

test_strangers_use_no_model if {
	decision := data.multiagent.models.decision with input as asked(object.union(user, {"authenticated": false}), rules)
	decision.allow == false
	"who asks is not authenticated" in decision.reasons
}

test_an_agent_never_acts_as_admin if {
	decision := data.multiagent.models.decision with input as asked(object.union(user, {"role": "admin"}), rules)
	decision.allow == false
	"an agent never acts as an administrator" in decision.reasons
}

test_a_model_without_a_name_is_denied if {
	data.multiagent.models.decision.allow == false with input as asked(user, {"vendor": "", "name": ""})
}

test_a_missing_model_is_denied if {
	data.multiagent.models.decision.allow == false with input as {"user": user}
}

test_nobody_uses_no_model if {
	data.multiagent.models.decision.allow == false with input as {}
}
