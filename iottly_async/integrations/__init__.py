"""What joins the SDK to other libraries; each module needs the extra that it is named after."""
