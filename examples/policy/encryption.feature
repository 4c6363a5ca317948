# For terraform-compliance:
#
#   reconciler plan accounts.yaml --format tfplan --output plan.json
#   terraform-compliance --features examples/policy --planfile plan.json
Feature: Mail leaves encrypted

  Accounts of Gmail and Outlook are always encrypted; of the others the plan must say how.

  Scenario: No account without encryption
    Given I have email_account defined
    When its service is other
    Then it must have smtp_crypt
    And its value must match the "^(starttls|ssl-tls)$" regex
