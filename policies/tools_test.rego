package multiagent.tools_test

import rego.v1

allowed := {"allow": true, "reasons": [], "obligations": []}

to_approve := {"allow": true, "reasons": [], "obligations": ["approve"]}

user := {"id": "u", "tenant": "t", "role": "user", "authenticated": true, "permissions": [], "agent": ""}

coder := object.union(user, {"permissions": ["code_execution"], "agent": "a1"})

guest := object.union(user, {"role": "guest", "permissions": ["code_execution"]})

admin := object.union(user, {"role": "admin"})

rogue := object.union(coder, {"role": "admin"})

stranger := object.union(coder, {"authenticated": false})

basic(name) := {"name": name, "group": "basic", "idempotent": true}

attachments := {"name": "attachments", "group": "data", "idempotent": true}

python := {"name": "python", "group": "code", "idempotent": true}

network := {"name": "fetch", "group": "network", "idempotent": true}

shutdown := {"name": "shutdown", "group": "admin", "idempotent": false}

code(language, flags) := {"language": language, "sha256": "ab", "length": 10, "flags": flags}

asked(who, tool) := {"user": who, "tool": tool, "arguments": {"hash": "ab"}, "labels": []}

running(who, facts) := object.union(asked(who, python), {"code": facts})

labelled(who, tool, labels) := object.union(asked(who, tool), {"labels": labels})

test_users_use_the_search if {
	data.multiagent.tools.decision == allowed with input as asked(user, basic("search"))
}

test_users_use_the_calculator if {
	data.multiagent.tools.decision == allowed with input as asked(user, basic("calculator"))
}

test_a_question_to_the_user_waits_for_the_user if {
	data.multiagent.tools.decision == to_approve with input as asked(user, basic("ask_user"))
}

test_users_use_the_text_processor if {
	data.multiagent.tools.decision == allowed with input as asked(coder, basic("text_processor"))
}

test_users_read_attachments if {
	data.multiagent.tools.decision == allowed with input as labelled(user, attachments, ["private", "untrusted"])
}

test_guests_use_no_basic_tool if {
	decision := data.multiagent.tools.decision with input as asked(guest, basic("calculator"))
	decision.allow == false
	decision.obligations == []
	"guests may not use tools" in decision.reasons
}

test_guests_read_no_attachments if {
	decision := data.multiagent.tools.decision with input as asked(guest, attachments)
	decision.allow == false
	decision.obligations == []
	"guests may not use tools" in decision.reasons
}

test_guests_run_no_code if {
	decision := data.multiagent.tools.decision with input as running(guest, code("python", []))
	decision.allow == false
	decision.obligations == []
	"guests may not use tools" in decision.reasons
}

test_strangers_use_no_basic_tool if {
	decision := data.multiagent.tools.decision with input as asked(stranger, basic("calculator"))
	decision.allow == false
	decision.obligations == []
	"who asks is not authenticated" in decision.reasons
}

test_strangers_run_no_code if {
	decision := data.multiagent.tools.decision with input as running(stranger, code("python", []))
	decision.allow == false
	decision.obligations == []
	"who asks is not authenticated" in decision.reasons
}

test_strangers_are_no_admins if {
	decision := data.multiagent.tools.decision with input as asked(object.union(admin, {"authenticated": false}), shutdown)
	decision.allow == false
	decision.obligations == []
	"who asks is not authenticated" in decision.reasons
}

test_authenticated_one_is_not_true if {
	decision := data.multiagent.tools.decision with input as asked(object.union(user, {"authenticated": 1}), basic("calculator"))
	decision.allow == false
	decision.obligations == []
	"who asks is not authenticated" in decision.reasons
}

test_authenticated_as_text_is_not_true if {
	decision := data.multiagent.tools.decision with input as asked(object.union(user, {"authenticated": "true"}), basic("calculator"))
	decision.allow == false
	decision.obligations == []
	"who asks is not authenticated" in decision.reasons
}

test_authenticated_null_is_not_true if {
	decision := data.multiagent.tools.decision with input as asked(object.union(user, {"authenticated": null}), basic("calculator"))
	decision.allow == false
	decision.obligations == []
	"who asks is not authenticated" in decision.reasons
}

test_unknown_roles_use_nothing if {
	data.multiagent.tools.decision.allow == false with input as asked(object.union(user, {"role": "root"}), basic("calculator"))
}

test_a_role_in_capitals_is_another if {
	data.multiagent.tools.decision.allow == false with input as asked(object.union(user, {"role": "Admin"}), shutdown)
}

test_a_role_of_null_uses_nothing if {
	data.multiagent.tools.decision.allow == false with input as asked(object.union(user, {"role": null}), basic("calculator"))
}

test_other_tools_are_denied_by_default if {
	decision := data.multiagent.tools.decision with input as asked(user, basic("wallet"))
	decision.allow == false
	decision.obligations == []
	"no rule allows the tool wallet" in decision.reasons
}

test_users_use_no_admin_tools if {
	decision := data.multiagent.tools.decision with input as asked(user, shutdown)
	decision.allow == false
	decision.obligations == []
	"no rule allows the tool shutdown" in decision.reasons
}

test_users_use_no_network_tools if {
	decision := data.multiagent.tools.decision with input as asked(user, network)
	decision.allow == false
	decision.obligations == []
	"no rule allows the tool fetch" in decision.reasons
}

test_a_basic_name_in_another_group_is_not_basic if {
	decision := data.multiagent.tools.decision with input as asked(user, object.union(basic("calculator"), {"group": "admin"}))
	decision.allow == false
	decision.obligations == []
	"no rule allows the tool calculator" in decision.reasons
}

test_admins_use_basic_tools if {
	data.multiagent.tools.decision == allowed with input as asked(admin, basic("calculator"))
}

test_admins_use_admin_tools if {
	data.multiagent.tools.decision == allowed with input as asked(admin, shutdown)
}

test_admins_run_code if {
	data.multiagent.tools.decision == allowed with input as running(admin, code("python", []))
}

test_an_agent_never_uses_admin_tools if {
	decision := data.multiagent.tools.decision with input as asked(rogue, shutdown)
	decision.allow == false
	decision.obligations == []
	"an agent never acts as an administrator" in decision.reasons
}

test_an_agent_as_admin_uses_not_even_basic_tools if {
	decision := data.multiagent.tools.decision with input as asked(rogue, basic("calculator"))
	decision.allow == false
	decision.obligations == []
	"an agent never acts as an administrator" in decision.reasons
}

test_python_runs_by_permission if {
	data.multiagent.tools.decision == allowed with input as running(coder, code("python", []))
}

test_javascript_runs_by_permission if {
	data.multiagent.tools.decision == allowed with input as running(coder, code("javascript", []))
}

test_harmless_flags_do_not_matter if {
	data.multiagent.tools.decision == allowed with input as running(coder, code("python", ["eval", "unparsed"]))
}

test_code_needs_the_permission if {
	decision := data.multiagent.tools.decision with input as running(user, code("python", []))
	decision.allow == false
	decision.obligations == []
	"running code needs the permission code_execution" in decision.reasons
}

test_code_in_other_languages_is_denied if {
	decision := data.multiagent.tools.decision with input as running(coder, code("ruby", []))
	decision.allow == false
	decision.obligations == []
	"code in ruby may not be run" in decision.reasons
}

test_code_that_starts_processes_is_denied if {
	decision := data.multiagent.tools.decision with input as running(coder, code("python", ["eval", "subprocess"]))
	decision.allow == false
	decision.obligations == []
	"the code uses subprocess" in decision.reasons
}

test_code_that_calls_the_system_is_denied if {
	decision := data.multiagent.tools.decision with input as running(coder, code("python", ["os.system"]))
	decision.allow == false
	decision.obligations == []
	"the code uses os.system" in decision.reasons
}

test_code_of_which_nothing_is_known_is_denied if {
	decision := data.multiagent.tools.decision with input as asked(coder, python)
	decision.allow == false
	decision.obligations == []
	"nothing is known of the code" in decision.reasons
}

test_code_without_a_scan_is_denied if {
	data.multiagent.tools.decision.allow == false with input as running(coder, {"language": "python"})
}

test_code_with_a_null_scan_is_denied if {
	data.multiagent.tools.decision.allow == false with input as running(coder, code("python", null))
}

test_code_with_an_odd_scan_is_denied if {
	data.multiagent.tools.decision.allow == false with input as running(coder, code("python", "none"))
}

test_private_and_untrusted_content_needs_a_word_to_leave if {
	data.multiagent.tools.decision == to_approve with input as labelled(admin, network, ["private", "untrusted"])
}

test_private_content_alone_may_leave if {
	data.multiagent.tools.decision == allowed with input as labelled(admin, network, ["private"])
}

test_nobody_uses_nothing if {
	data.multiagent.tools.decision.allow == false with input as {}
}

test_a_missing_user_uses_nothing if {
	data.multiagent.tools.decision.allow == false with input as {"tool": basic("calculator")}
}

test_a_missing_tool_is_not_used if {
	data.multiagent.tools.decision.allow == false with input as {"user": user}
}
